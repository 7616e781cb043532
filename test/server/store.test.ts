import { mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import Database from 'libsql';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { afterHello, type RunRecord } from '../../server/run-record.ts';
import { schemaVersion } from '../../server/schema.ts';
import { openSqliteStore } from '../../server/sqlite-store.ts';
import type { FrameToStore, Store } from '../../server/store.ts';
import { encodeFrame } from '../../src/frame.ts';
import type { Alert } from '../../src/messages.ts';
import { frameOf, helloOf } from './trainer.ts';

let folder: string;
let path: string;
let store: Store;
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'outlierscope-store-'));
  path = join(folder, 'runs.db');
  store = openSqliteStore(path);
});
afterEach(async () => {
  await store.close();
  rmSync(folder, { recursive: true });
});

const record = (id: string): RunRecord => afterHello(undefined, helloOf(id), 1);
const stored = (runId: string, sequence: number, step: number = sequence): FrameToStore => ({
  runId,
  sequence,
  step,
  bytes: encodeFrame({ ...frameOf(0, { step }), sequence }, 2),
});
const alert = (id: string, runId: string, state: Alert['state']): Alert => ({
  type: 'alert',
  id,
  state,
  rule: 'R',
  severity: 'info',
  runId,
  metric: 'm',
  site: 's',
  value: 1,
  step: 1,
  startedAt: 1,
  startedStep: 1,
  endedAt: null,
  summary: '',
  why: '',
  next: '',
});

async function sequences(range: { from: number; to: number; lastSequence: number }): Promise<number[]> {
  const found: number[] = [];
  for await (const page of store.frames('a', range)) found.push(...page.map(({ frame }) => frame.sequence));
  return found;
}

test('keeps whole batches over a restart, runs in the order of their first hello', async () => {
  await store.commit({ runs: [record('b')], frames: [stored('b', 0)], alerts: [alert('b/1', 'b', 'firing')] });
  await store.commit({ runs: [record('a')], frames: [], alerts: [] });
  const grown = record('b');
  await store.commit({
    runs: [{ ...grown, progress: { ...grown.progress, frames: 7 } }],
    frames: [],
    alerts: [alert('b/1', 'b', 'resolved')],
  });
  await store.close();
  store = openSqliteStore(path);
  const runs = await store.runs();
  expect(runs.map((run) => [run.id, run.progress.frames])).toEqual([
    ['b', 7],
    ['a', 0],
  ]);
  expect(runs[0]?.description).toEqual(grown.description);
  expect((await store.latestFrame('b'))?.frame).toEqual(frameOf(0));
  expect(await store.latestFrame('a')).toBeUndefined();
  expect(await store.alerts({ limit: 10 })).toEqual([alert('b/1', 'b', 'resolved')]);
});

test('writes nothing of a batch that fails, not even what came before the fault', async () => {
  await store.commit({ runs: [record('a')], frames: [stored('a', 0)], alerts: [] });
  const failing = store.commit({
    runs: [record('new')],
    frames: [stored('a', 1), stored('a', 0)],
    alerts: [alert('x', 'a', 'firing')],
  });
  await expect(failing).rejects.toMatchObject({ code: 'store-failed', message: expect.stringContaining('UNIQUE') });
  await expect(store.commit({ runs: [], frames: [stored('nobody', 0)], alerts: [] })).rejects.toMatchObject({
    code: 'store-failed',
  });
  expect((await store.runs()).map((run) => run.id)).toEqual(['a']);
  expect((await store.latestFrame('a'))?.frame.sequence).toBe(0);
  expect(await store.alerts({ limit: 10 })).toEqual([]);
  // And the run of the failed batch can come again.
  await store.commit({ runs: [record('new')], frames: [stored('new', 0)], alerts: [] });
  expect((await store.latestFrame('new'))?.frame.sequence).toBe(0);
});

test('reads long ranges in pages, by step and then by sequence', async () => {
  const many = Array.from({ length: 1000 }, (_, sequence) => stored('a', sequence, sequence));
  // The run went back to step 500 and trained on from there.
  const again = Array.from({ length: 300 }, (_, index) => stored('a', 1000 + index, 500 + index));
  await store.commit({ runs: [record('a')], frames: [...many, ...again], alerts: [] });
  const all = await sequences({ from: 0, to: 2000, lastSequence: 5000 });
  expect(all).toHaveLength(1300);
  expect(all.slice(498, 506)).toEqual([498, 499, 500, 1000, 501, 1001, 502, 1002]);
  expect(await sequences({ from: 0, to: 2000, lastSequence: 999 })).toEqual(many.map((frame) => frame.sequence));
  expect(await sequences({ from: 10, to: 12, lastSequence: 5000 })).toEqual([10, 11, 12]);
  expect(await store.countFrames('a', { from: 499, to: 501, lastSequence: 5000 })).toBe(5);
  expect((await store.frameAt('a', 500))?.frame.sequence).toBe(1000);
});

test('keeps the largest sequence and step that a frame can have', async () => {
  const most = Number.MAX_SAFE_INTEGER;
  await store.commit({ runs: [record('a')], frames: [stored('a', most, most)], alerts: [] });
  expect(await sequences({ from: most, to: most, lastSequence: most })).toEqual([most]);
});

test('tells alerts of a run, those that began last first', async () => {
  await store.commit({
    runs: [record('a'), record('b')],
    frames: [],
    alerts: [alert('1', 'a', 'firing'), alert('2', 'b', 'firing'), alert('3', 'a', 'firing')],
  });
  await store.commit({ runs: [], frames: [], alerts: [alert('1', 'a', 'resolved')] });
  const ids = async (query: Parameters<Store['alerts']>[0]): Promise<string[]> =>
    (await store.alerts(query)).map((each) => each.id);
  expect(await ids({ limit: 10 })).toEqual(['3', '2', '1']);
  expect(await ids({ runId: 'a', limit: 10 })).toEqual(['3', '1']);
  expect(await ids({ limit: 1 })).toEqual(['3']);
});

test('is owned by one server at a time, while others may read', async () => {
  expect(() => openSqliteStore(path)).toThrow(
    expect.objectContaining({ code: 'store-in-use', hint: expect.any(String) }),
  );
  await store.commit({ runs: [record('a')], frames: [], alerts: [] });
  const reader = new Database(path, { readonly: true });
  expect(reader.prepare('SELECT count(*) AS runs FROM runs').get()).toMatchObject({ runs: 1 });
  reader.close();
});

test('refuses a database of a newer schema, and leaves it as it was', async () => {
  await store.close();
  const newer = new Database(path);
  newer.exec(`PRAGMA user_version = ${schemaVersion + 1}; CREATE TABLE of_the_future (x)`);
  newer.close();
  expect(() => openSqliteStore(path)).toThrow(expect.objectContaining({ code: 'schema-too-new' }));
  const after = new Database(path);
  expect(after.prepare('PRAGMA user_version').get()).toMatchObject({ user_version: schemaVersion + 1 });
  after.exec(`PRAGMA user_version = ${schemaVersion}`);
  after.close();
  store = openSqliteStore(path); // The refusal let go of its ownership.
});

test('refuses a file that is no database, and a folder that is not there', async () => {
  expect(() => openSqliteStore(join(folder, 'none', 'x.db'))).toThrow(
    expect.objectContaining({ code: 'store-failed' }),
  );
  const text = join(folder, 'notes.txt');
  writeFileSync(text, 'Not a database.'.repeat(100));
  expect(() => openSqliteStore(text)).toThrow(expect.objectContaining({ code: 'store-failed' }));
  expect(readFileSync(text, 'utf8')).toBe('Not a database.'.repeat(100));
});

test('writes through to the disk: a write-ahead log, synced at every commit', async () => {
  await store.commit({ runs: [record('a')], frames: [stored('a', 0)], alerts: [] });
  expect(statSync(`${path}-wal`).size).toBeGreaterThan(0);
});

/** The spool: what a trainer wrote to it arrives, however the trainer ended and however long the server was away. */
import { mkdirSync, mkdtempSync, readdirSync, rmSync, statSync, truncateSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest';
import { readRecordedRuns } from '../../../plugin/delivery/recorded-runs.ts';
import { startServer } from '../../../server/index.ts';
import { recordHeaderBytes } from '../../../src/recording.ts';
import { freePort, type RunningProcess } from '../../support/process.ts';
import { kill, reportOf, type Scope, startScope, startTrainer, storedRun, upTo } from '../../support/scope.ts';

let folder: string;
let spool: string;
let scope: Scope | undefined;
let trainers: RunningProcess[];
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'outlierscope-spool-'));
  spool = join(folder, 'spool');
  trainers = [];
});
afterEach(async () => {
  await Promise.all(trainers.map((trainer) => trainer.stop()));
  await scope?.process.stop();
  scope = undefined;
  rmSync(folder, { recursive: true, force: true });
});

const serve = async (port = 0): Promise<Scope> => {
  scope = await startScope(join(folder, 'runs.db'), port);
  return scope;
};
const train = async (...args: Parameters<typeof startTrainer>): Promise<RunningProcess> => {
  const trainer = await startTrainer(...args);
  trainers.push(trainer);
  return trainer;
};
const segments = (): string[] =>
  readdirSync(spool, { recursive: true, encoding: 'utf8' })
    .filter((name) => name.endsWith('.olr'))
    .sort()
    .map((name) => join(spool, name));
/** Sequences in the spool. */
const spooled = (): number[] => {
  const recorded = readRecordedRuns(segments());
  recorded.close();
  return recorded.runs.flatMap(({ frames }) => frames.map(({ sequence }) => sequence));
};
const nobody = async () => `ws://127.0.0.1:${await freePort()}`;
/** The next start: a run of its own that takes along what is left. */
const nextStart = async (url: string) => reportOf(await train({ runId: 'next', url, spool, frames: 5 }));

describe('a crashed trainer', () => {
  test("leaves what was safe to the next start, which sends it under the earlier run's id", async () => {
    const crashed = await train({ runId: 'crashed', url: await nobody(), spool });
    await vi.waitFor(() => expect(spooled().length).toBeGreaterThan(300), 20_000);
    await kill(crashed);
    const safe = spooled();
    expect(safe).toEqual(upTo(safe.length));
    const { url, socketUrl } = await serve();
    expect(await nextStart(socketUrl)).toMatchObject({ accepted: 5, delivered: 5, recovered: safe.length });
    expect(await storedRun(url, 'crashed')).toEqual({ state: 'silent', frames: safe.length, dropped: 0, steps: safe });
    expect(await storedRun(url, 'next')).toMatchObject({ state: 'finished', steps: upTo(5) });
    expect(readdirSync(spool)).toEqual([]);
  });

  test.each([1, 17, 300])('whose last record was cut %d bytes short leaves all that is whole', async (bytes) => {
    await reportOf(
      await train({
        runId: 'cut',
        url: await nobody(),
        spool,
        frames: 100,
        pauseMilliseconds: 0,
        deadlineMilliseconds: 500,
      }),
    );
    const [last] = segments().slice(-1) as [string];
    const bye = recordHeaderBytes + Buffer.byteLength('{"type":"bye","outcome":"finished","dropped":0}');
    truncateSync(last, statSync(last).size - bye - bytes);
    const whole = spooled();
    expect(whole.length).toBeLessThan(100);
    expect(whole.length).toBeGreaterThan(95);
    const { url, socketUrl } = await serve();
    await nextStart(socketUrl);
    expect(await storedRun(url, 'cut')).toMatchObject({ state: 'silent', steps: whole });
  });
});

test('a run that was closed while the server was away ends as it said, with the next start', async () => {
  const report = await reportOf(
    await train({ runId: 'away', url: await nobody(), spool, frames: 50, deadlineMilliseconds: 300 }),
  );
  expect(report).toMatchObject({ accepted: 50, delivered: 0, undelivered: 50, safe: 50, diskFaults: 0 });
  const { url, socketUrl } = await serve();
  expect(await nextStart(socketUrl)).toMatchObject({ recovered: 50 });
  expect(await storedRun(url, 'away')).toEqual({ state: 'finished', frames: 50, dropped: 0, steps: upTo(50) });
});

test('an outage longer than the memory loses nothing: frames are read back from the spool', async () => {
  const port = await freePort();
  const trainer = await train({
    runId: 'long',
    url: `ws://127.0.0.1:${port}`,
    spool,
    bufferBytes: 600 * 160 + 20_000, // the bytes of about a hundred frames, beside what stands for each
    frames: 600,
  });
  await vi.waitFor(() => expect(spooled().length).toBe(600), 20_000);
  const { url } = await serve(port);
  expect(await reportOf(trainer)).toMatchObject({ accepted: 600, delivered: 600, dropped: 0, undelivered: 0 });
  expect(await storedRun(url, 'long')).toMatchObject({ state: 'finished', steps: upTo(600) });
  expect(readdirSync(spool)).toEqual([]);
});

test('beyond spoolBytes the oldest frames are dropped and counted, and the disk holds no more', async () => {
  const spoolBytes = 64 * 1024;
  const port = await freePort();
  const trainer = await train({
    runId: 'bounded',
    url: `ws://127.0.0.1:${port}`,
    spool,
    spoolBytes,
    bufferBytes: 128 * 1024,
    frames: 1000,
  });
  await vi.waitFor(() => expect(spooled().at(-1)).toBe(999), 20_000);
  expect(segments().reduce((sum, path) => sum + statSync(path).size, 0)).toBeLessThanOrEqual(spoolBytes);
  const { url } = await serve(port);
  const report = await reportOf(trainer);
  expect(report.delivered + report.dropped).toBe(1000);
  expect(report.delivered).toBeGreaterThan(100);
  expect(report.dropped).toBeGreaterThan(100);
  const stored = await storedRun(url, 'bounded');
  expect(stored).toMatchObject({ state: 'finished', frames: report.delivered, dropped: report.dropped });
  // Each once, the newest among them; of the old ones some were in memory still.
  expect(stored.steps).toEqual(upTo(1000).filter((step) => stored.steps.includes(step)));
  expect(stored.steps.slice(-100)).toEqual(upTo(1000).slice(-100));
});

test('what earlier runs left counts too: the oldest goes when it takes more than half of spoolBytes, and that is told', async () => {
  const url = await nobody();
  for (const runId of ['older', 'newer']) {
    const frames = 250; // 30 KB
    expect(await reportOf(await train({ runId, url, spool, frames, deadlineMilliseconds: 200 }))).toMatchObject({
      safe: frames,
    });
  }
  const { url: serverUrl, socketUrl } = await serve();
  const next = await train({ runId: 'next', url: socketUrl, spool, spoolBytes: 100_000, frames: 5 });
  expect(await reportOf(next)).toMatchObject({ delivered: 5, recovered: 250 });
  expect(next.output()).toMatch(/warning: the spool .* the oldest 1 were removed/);
  expect(await storedRun(serverUrl, 'newer')).toMatchObject({ frames: 250 });
  expect((await fetch(`${serverUrl}/api/runs/older`)).status).toBe(404);
});

test('a run that the server refuses stays in the spool, with its end', async () => {
  const refusing = await startServer({ port: 0, database: ':memory:', token: 'another-token' });
  const url = refusing.url.replace('http', 'ws');
  const refused = await train({ runId: 'refused', url, spool, frames: 40 });
  expect(await reportOf(refused)).toMatchObject({ delivered: 0, undelivered: 40, safe: 40 });
  const other = await train({ runId: 'other', url, spool, frames: 5 });
  expect(await reportOf(other)).toMatchObject({ safe: 5, recovered: 0 });
  await refusing.close();
  const { url: serverUrl, socketUrl } = await serve();
  expect(await nextStart(socketUrl)).toMatchObject({ recovered: 45 });
  expect(await storedRun(serverUrl, 'refused')).toMatchObject({ state: 'finished', steps: upTo(40) });
});

test('what the server acknowledged is removed while the run goes on', async () => {
  const { url, socketUrl } = await serve();
  const trainer = await train({ runId: 'compact', url: socketUrl, spool, spoolBytes: 256 * 1024 });
  await vi.waitFor(async () => expect((await storedRun(url, 'compact')).frames).toBeGreaterThan(1000), 30_000);
  // 1,000 frames take 200 KB; a sixteenth of the limit is a segment.
  expect(segments().reduce((sum, path) => sum + statSync(path).size, 0)).toBeLessThan(64 * 1024);
  await kill(trainer);
});

test('two live processes share a spool and leave each other alone', async () => {
  const { url, socketUrl } = await serve();
  const lonely = await nobody();
  const first = await train({ runId: 'first', url: lonely, spool, frames: 1500, deadlineMilliseconds: 300 });
  await vi.waitFor(() => expect(spooled().length).toBeGreaterThan(50), 20_000);
  expect(await reportOf(await train({ runId: 'second', url: socketUrl, spool, frames: 100 }))).toMatchObject({
    delivered: 100,
    recovered: 0,
  });
  const report = await reportOf(first);
  expect(report).toMatchObject({ delivered: 0, safe: 1500 });
  expect(await nextStart(socketUrl)).toMatchObject({ recovered: 1500 });
  expect(await storedRun(url, 'first')).toMatchObject({ state: 'finished', steps: upTo(1500) });
});

test('a spool that cannot be had is a fault, told once; training and delivery go on', async () => {
  writeFileSync(spool, 'a file where the folder should be');
  const { url, socketUrl } = await serve();
  const trainer = await train({ runId: 'no-spool', url: socketUrl, spool, frames: 50 });
  const report = await reportOf(trainer);
  expect(report).toMatchObject({ accepted: 50, delivered: 50, safe: 0 });
  expect(report.diskFaults).toBeGreaterThan(0);
  expect(trainer.output().match(/warning: .*memory only/g)).toHaveLength(1);
  expect(await storedRun(url, 'no-spool')).toMatchObject({ steps: upTo(50) });
});

test('a disk that takes no more is a fault, told once, and leaves whole records; delivery goes on from memory', async () => {
  const { url, socketUrl } = await serve();
  const lonely = await nobody();
  // The kernel refuses to let any file of this process grow beyond so many blocks of 512 or 1,024 bytes.
  const trainer = await train({ runId: 'full', url: lonely, spool, frames: 1500, deadlineMilliseconds: 300 }, 100);
  const report = await reportOf(trainer);
  expect(report).toMatchObject({ accepted: 1500, delivered: 0, dropped: 0, undelivered: 1500 });
  expect(report.diskFaults).toBeGreaterThan(0);
  expect(report.safe).toBeGreaterThan(100);
  expect(report.safe).toBeLessThan(1500);
  expect(trainer.output().match(/warning: writing to the spool failed/g)).toHaveLength(1);
  const recorded = readRecordedRuns(segments());
  recorded.close();
  expect(recorded).toMatchObject({ skippedBytes: 0, skippedRecords: 0 });
  expect(spooled()).toHaveLength(report.safe);
  expect(await nextStart(socketUrl)).toMatchObject({ recovered: report.safe });
  expect(await storedRun(url, 'full')).toMatchObject({ frames: report.safe });
});

test('a folder that holds something else is left as it is', async () => {
  mkdirSync(join(spool, 'mine'), { recursive: true });
  writeFileSync(join(spool, 'notes.txt'), 'not ours');
  writeFileSync(join(spool, 'mine', 'thesis.tex'), 'not ours');
  const { socketUrl } = await serve();
  await nextStart(socketUrl);
  expect(readdirSync(spool).sort()).toEqual(['mine', 'notes.txt']);
  expect(readdirSync(join(spool, 'mine'))).toContain('thesis.tex');
});

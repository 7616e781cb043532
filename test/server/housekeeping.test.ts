/** What the store does by itself: roll-ups after a crash and for old runs, retention, deletion, giving room back; and a full disk. */
import { mkdtempSync, rmSync, statSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import Database from 'libsql';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { openReadOnlyStore } from '../../server/read-only-store.ts';
import { afterFrame, afterHello, type RunRecord } from '../../server/run-record.ts';
import type { Series } from '../../server/series.ts';
import { openSqliteStore } from '../../server/sqlite-store.ts';
import type { Retention, Store } from '../../server/store.ts';
import { encodeFrame } from '../../src/frame.ts';
import { frameOf, helloOf } from './trainer.ts';

let folder: string;
let path: string;
let store: Store;
let expired: number;
const open = (retention: Partial<Retention> = {}): void => {
  store = openSqliteStore(path, {
    retention: { age: undefined, bytes: undefined, ...retention },
    observer: {
      expired: (frames) => {
        expired += frames;
      },
      troubled: (error) => console.error(error),
    },
  });
};
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'outlierscope-housekeeping-'));
  path = join(folder, 'runs.db');
  expired = 0;
});
afterEach(async () => {
  await store.close();
  rmSync(folder, { recursive: true });
});

/** Frames of `helloOf`, whose kurtosis is that of frame 100 at 50 and else 1.5; large enough to fill some pages. */
const bytesOf = (sequence: number): Uint8Array => {
  const bytes = encodeFrame(frameOf(sequence, { kurtosis: sequence === 100 ? 50 : 1.5 }), 2);
  const padded = new Uint8Array(4000); // what follows the last array is kept too
  padded.set(bytes);
  return padded;
};

async function fill(runId: string, from: number, to: number): Promise<RunRecord> {
  let record = afterHello(undefined, helloOf(runId), 1);
  for (const lastSequence of [to - 1]) {
    const last = afterFrame(record, frameOf(lastSequence), [], 1);
    record = last?.record ?? record;
  }
  const frames = Array.from({ length: to - from }, (_, index) => ({
    runId,
    sequence: from + index,
    step: (from + index) * 10,
    bytes: bytesOf(from + index),
  }));
  await store.commit({ runs: [record], frames, alerts: [] });
  return record;
}

function query<Row>(sql: string): Row[] {
  const database = new Database(path);
  const rows = database.prepare(sql).all() as Row[];
  database.close();
  return rows;
}
const number = (sql: string): number => query<{ n: number }>(sql)[0]?.n ?? Number.NaN;
const framesOf = (runId: string): number =>
  number(`SELECT count(*) AS n FROM frames JOIN runs ON runs.number = run WHERE id = '${runId}'`);

async function kurtosis(runId: string, points: number, lastSequence = 1e6): Promise<Series> {
  const text = await store.series({
    runId,
    sites: ['h0/residual', 'h1/residual'],
    metrics: ['kurtosis', 'rms'],
    scalars: ['loss', 'accuracy'],
    name: 'kurtosis',
    points,
    range: { from: 0, to: 1e9, lastSequence },
  });
  return JSON.parse(Buffer.from(text).toString()) as Series;
}

describe('roll-ups', () => {
  test('are caught up with after the store ended before they were built, and only once', async () => {
    open();
    await fill('a', 0, 2000);
    await store.close();
    open();
    await expect.poll(() => number('SELECT rolled_up AS n FROM runs')).toBe(31 * 64 - 1);
    await store.close();
    open();
    await fill('a', 2000, 2100);
    await expect.poll(() => number('SELECT rolled_up AS n FROM runs')).toBe(32 * 64 - 1);
    expect(query('SELECT level, count(*) AS buckets, sum(frames) AS frames FROM buckets GROUP BY level')).toMatchObject(
      [
        { level: 1, buckets: 32, frames: 2048 },
        { level: 2, buckets: 2, frames: 2048 },
      ],
    );
  });

  test('of one metric are read without those of the others', () => {
    open();
    const [plan] = query<{ detail: string }>(
      'EXPLAIN QUERY PLAN SELECT bytes FROM rollups WHERE run = 1 AND level = 1 AND series = 1 AND number BETWEEN 0 AND 9',
    );
    expect(plan?.detail).toMatch(/SEARCH rollups USING PRIMARY KEY \(run=\? AND level=\? AND series=\? AND number/);
  });
});

describe('a database of schema version 1', () => {
  test('keeps its runs, frames and alerts, and gets roll-ups', async () => {
    writeVersion1();
    // As `export` and `verify` would read it before and after a server of this version brings it up.
    const described = async (): Promise<unknown[]> => {
      const reader = openReadOnlyStore(path);
      const found = (await reader.runs()).map(({ id, description }) => [id, description.sites.length]);
      await reader.close();
      return found;
    };
    const before = await described();
    expect(before).toEqual([
      ['old', helloOf('old').sites.length],
      ['older', helloOf('older').sites.length],
    ]);
    open();
    expect(await described()).toEqual(before);
    expect((await store.runs()).map(({ description }) => description.sites)).toEqual([
      helloOf('old').sites,
      helloOf('older').sites,
    ]);
    expect((await store.runs()).map(({ id, progress }) => [id, progress.lastSequence])).toEqual([
      ['old', 299],
      ['older', -1],
    ]);
    expect((await store.latestFrame('old'))?.frame.sequence).toBe(299);
    expect(await store.alerts({ limit: 5 })).toEqual([{ id: 'x' }]);
    expect(await store.countFrames('old', { from: 0, to: 1e9, lastSequence: 299 })).toBe(300);
    await expect.poll(() => number("SELECT rolled_up AS n FROM runs WHERE id = 'old'")).toBe(4 * 64 - 1);
    const series = await kurtosis('old', 4);
    expect(series.values[0]).toContain(50);
    expect(series.steps[series.values[0]?.indexOf(50) ?? -1]).toBe(1000);
    await fill('old', 300, 310);
    expect(framesOf('old')).toBe(310);
  });

  /** With the statements of version 1, as they were released. */
  function writeVersion1(): void {
    const database = new Database(path);
    database.exec(
      `PRAGMA page_size = 16384; PRAGMA journal_mode = WAL;
       CREATE TABLE runs (number INTEGER PRIMARY KEY, id TEXT NOT NULL UNIQUE, description TEXT NOT NULL, progress TEXT NOT NULL) STRICT;
       CREATE TABLE frames (run INTEGER NOT NULL REFERENCES runs (number), sequence INTEGER NOT NULL, step INTEGER NOT NULL, bytes BLOB NOT NULL) STRICT;
       CREATE UNIQUE INDEX frames_by_sequence ON frames (run, sequence);
       CREATE INDEX frames_by_step ON frames (run, step, sequence);
       CREATE TABLE alerts (number INTEGER PRIMARY KEY, id TEXT NOT NULL UNIQUE, run INTEGER NOT NULL REFERENCES runs (number), alert TEXT NOT NULL) STRICT;
       CREATE INDEX alerts_by_run ON alerts (run, number);
       CREATE TABLE probe (key INTEGER PRIMARY KEY CHECK (key = 0), writes INTEGER NOT NULL) STRICT;
       INSERT INTO probe VALUES (0, 0);
       PRAGMA user_version = 1`,
    );
    const hello = (id: string): RunRecord => afterHello(undefined, helloOf(id), 1);
    const old = afterFrame(hello('old'), frameOf(299), [], 1)?.record as RunRecord;
    const putRun = database.prepare('INSERT INTO runs (id, description, progress) VALUES (?, ?, ?)');
    for (const { id, description, progress } of [old, hello('older')])
      putRun.run(id, JSON.stringify(description), JSON.stringify(progress));
    const putFrame = database.prepare('INSERT INTO frames VALUES (1, ?, ?, ?)');
    for (let sequence = 0; sequence < 300; sequence++) putFrame.run(sequence, sequence * 10, bytesOf(sequence));
    database.exec(`INSERT INTO alerts (id, run, alert) VALUES ('x', 1, '{"id":"x"}')`);
    database.close();
  }
});

describe('retention', () => {
  test('by size deletes the oldest frames beyond it; roll-ups, the newest frames and the last number stay', async () => {
    open({ bytes: 500_000 });
    await fill('a', 0, 1000);
    await fill('small', 0, 100);
    await expect.poll(() => expired).toBeGreaterThan(0);
    await expect.poll(() => framesOf('a')).toBeLessThan(200);
    expect(framesOf('a')).toBeGreaterThan(100); // 500 kB are 125 frames of 4,000 bytes
    expect(framesOf('small')).toBe(100);
    expect(await store.expiredFrames('a')).toBe(1000 - framesOf('a'));
    await expect.poll(() => expired).toBe(await store.expiredFrames('a'));
    expect((await store.latestFrame('a'))?.frame.sequence).toBe(999);
    expect((await store.runs())[0]?.progress.lastSequence).toBe(999);
    // The spike at frame 100 is in the coarse history; zoomed in, there is no more than that.
    for (const points of [10, 2000]) {
      const series = await kurtosis('a', points);
      expect(series.values[0]).toContain(50);
      expect(series.steps).toContain(1000);
      expect(series.steps.at(-1)).toBeGreaterThan(9000);
    }
  });

  test('by age goes up to the last frame of a run, which stays', async () => {
    open();
    await fill('a', 0, 256);
    await expect.poll(() => number('SELECT rolled_up AS n FROM runs')).toBe(255);
    await store.close();
    open({ age: 1 });
    await expect.poll(() => framesOf('a')).toBe(64);
    expect((await store.latestFrame('a'))?.frame.sequence).toBe(255);
    await expect(store.frameAt('a', 100)).resolves.toBeUndefined();
  });

  test('keeps everything unless it is asked for', async () => {
    open();
    await fill('a', 0, 256);
    await expect.poll(() => number('SELECT rolled_up AS n FROM runs')).toBe(255);
    expect([framesOf('a'), await store.expiredFrames('a')]).toEqual([256, 0]);
  });
});

describe('a deleted run', () => {
  test('is gone at once with its alerts, its room is given back, and its id may come again', async () => {
    open();
    await fill('a', 0, 3000);
    await fill('b', 0, 100);
    await expect.poll(() => number("SELECT rolled_up AS n FROM runs WHERE id = 'a'")).toBeGreaterThan(2900);
    await store.close();
    const before = statSync(path).size;
    open();
    await store.deleteRun('a');
    expect((await store.runs()).map(({ id }) => id)).toEqual(['b']);
    expect(await store.latestFrame('a')).toBeUndefined();
    await fill('a', 0, 10);
    expect(framesOf('a')).toBe(10);
    await expect.poll(() => number('SELECT count(*) AS n FROM frames')).toBe(110);
    await expect.poll(() => number('SELECT count(*) AS n FROM runs')).toBe(2);
    await expect.poll(() => number('SELECT freelist_count AS n FROM pragma_freelist_count')).toBeLessThanOrEqual(256);
    await store.close();
    expect(statSync(path).size).toBeLessThan(before / 2);
    open();
  });

  test('goes on being deleted after a restart', async () => {
    open();
    await fill('a', 0, 3000);
    await store.deleteRun('a');
    await store.close();
    open();
    await expect.poll(() => number('SELECT count(*) AS n FROM frames')).toBe(0);
    await expect.poll(() => number('SELECT count(*) AS n FROM runs')).toBe(0);
  });

  test('that is not there is no error', async () => {
    open();
    await store.deleteRun('nobody');
  });
});

test('readers do not hold the log: it is used again once it is in the database', async () => {
  open();
  await fill('a', 0, 100);
  await store.latestFrame('a');
  await store.frameAt('a', 500);
  await kurtosis('a', 10);
  const checkpoint = (): unknown => query('PRAGMA wal_checkpoint(TRUNCATE)')[0];
  await expect.poll(checkpoint).toMatchObject({ busy: 0 }); // busy while the housekeeper writes
  expect(statSync(`${path}-wal`).size).toBe(0);
});

describe('in memory', () => {
  test('all of it works on one connection', async () => {
    const memory = openSqliteStore(':memory:');
    const files = store;
    store = memory;
    await fill('a', 0, 1000);
    await expect.poll(async () => (await kurtosis('a', 4)).values[0]).toContain(50);
    await memory.deleteRun('a');
    expect(await memory.runs()).toEqual([]);
    store = files ?? memory;
  });
});

/** Series of long runs: read from roll-ups, with the extremes and the true steps of all frames. */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import Database from 'libsql';
import { afterAll, beforeAll, describe, expect, test, vi } from 'vitest';
import { seededRandom } from '../../cli/demo/batches.ts';
import { afterHello } from '../../server/run-record.ts';
import type { Series } from '../../server/series.ts';
import { openSqliteStore } from '../../server/sqlite-store.ts';
import type { SeriesRequest, Store } from '../../server/store.ts';
import { absentValues, encodeFrame, type Frame } from '../../src/frame.ts';
import { frameOf, helloOf, site } from './trainer.ts';

const metrics = ['kurtosis', 'rms'];
const sites = ['a', 'b', 'c'];
const count = 3000;

let folder: string;
let path: string;
let store: Store;
let frames: Frame[];

/** 3,000 frames: steps by ten; after frame 2,000 the run goes back by 500 frames. A spike, a dip, NaN, absent values. */
function makeFrames(): Frame[] {
  const random = seededRandom(1);
  return Array.from({ length: count }, (_, sequence) => {
    const values = absentValues(sites.length * metrics.length);
    for (let index = 0; index < values.length; index++) values[index] = random();
    if (sequence === 1234) values[2] = 1000;
    if (sequence === 2345) values[4] = -1000;
    if (sequence === 777) values[0] = Infinity;
    const step = (sequence < 2000 ? sequence : sequence - 500) * 10;
    const loss = sequence === 321 ? 55 : sequence === 322 ? Number.NaN : random();
    return { ...frameOf(sequence, { step, scalars: [loss, 0.5] }), values, topNeurons: noNeurons };
  });
}
const noNeurons = { count: 0, indices: new Uint32Array(0), shares: new Float32Array(0) };

beforeAll(async () => {
  folder = mkdtempSync(join(tmpdir(), 'outlierscope-series-'));
  path = join(folder, 'runs.db');
  store = openSqliteStore(path);
  frames = makeFrames();
  const hello = helloOf('a', { sites: sites.map(site), metrics, topNeurons: 0 });
  await store.commit({ runs: [afterHello(undefined, hello, 1)], frames: [], alerts: [] });
  for (let from = 0; from < count; from += 500) {
    const stored = frames.slice(from, from + 500).map((frame) => ({
      runId: 'a',
      sequence: frame.sequence,
      step: frame.step,
      bytes: encodeFrame(frame, metrics.length),
    }));
    await store.commit({ runs: [], frames: stored, alerts: [] });
  }
  await vi.waitFor(() => expect(rolledUp(path)).toBe(Math.floor(count / 64) * 64 - 1), 20_000);
});
afterAll(async () => {
  await store.close();
  rmSync(folder, { recursive: true });
});

function rolledUp(file: string): number {
  const database = new Database(file);
  const row = database.prepare('SELECT max(rolled_up) AS sequence FROM runs').all()[0] as { sequence: number };
  database.close();
  return row.sequence;
}

async function read(changes: Partial<SeriesRequest> & { from?: number; to?: number } = {}): Promise<Series> {
  const { from = 0, to = Number.MAX_SAFE_INTEGER, ...rest } = changes;
  const request: SeriesRequest = {
    runId: 'a',
    sites,
    metrics,
    scalars: ['loss', 'accuracy'],
    name: 'kurtosis',
    points: 40,
    range: { from, to, lastSequence: count - 1 },
    ...rest,
  };
  return JSON.parse(Buffer.from(await store.series(request)).toString()) as Series;
}

/** Every point as the frame that it must be of: same step, same values. */
function sequencesOf(series: Series, column: number): number[] {
  return series.steps.map((step, point) => {
    const found = frames.filter(
      (frame) =>
        frame.step === step &&
        sites.every((_, row) => told(frame.values[row * metrics.length + column]) === series.values[row]?.[point]),
    );
    expect(found, `step ${step}`).toHaveLength(1);
    return (found[0] as Frame).sequence;
  });
}
const told = (value: number | undefined): number | string | undefined => (value === Infinity ? 'Infinity' : value);

describe('a series of a long run', () => {
  test('has the extremes at the steps where they were, in few points, in the order of steps', async () => {
    const kurtosis = await read();
    expect(kurtosis.steps.length).toBeLessThanOrEqual(40);
    expect(kurtosis.steps).toEqual(kurtosis.steps.toSorted((a, b) => a - b));
    expect(sequencesOf(kurtosis, 0)).toEqual(expect.arrayContaining([777, 1234, 2345]));
    expect(sequencesOf(await read({ name: 'rms' }), 1).length).toBeGreaterThan(20);
  });

  test.each([
    [2, 0, 1e9],
    [10, 5000, 17_777],
    [30, 15_001, 19_000],
    [50, 0, 30_000],
    [500, 0, 1e9],
    [5000, 0, 1e9],
    [100, 12_000, 12_700],
    [100, 40_000, 50_000],
  ])('in %i points from step %i to %i: only frames of the range, its extremes among them', async (points, from, to) => {
    const series = await read({ points, from, to });
    const inRange = frames.filter(({ step }) => step >= from && step <= to);
    expect(series.steps.length).toBeLessThanOrEqual(points);
    if (inRange.length <= points) expect(series.steps).toHaveLength(inRange.length);
    const sequences = sequencesOf(series, 0);
    expect(new Set(sequences).size).toBe(sequences.length);
    for (const step of series.steps) expect(step >= from && step <= to).toBe(true);
    const column = ({ values }: Frame): number[] => [0, 2, 4].map((index) => values[index] as number);
    const all = inRange.flatMap(column);
    const got = sequences.flatMap((sequence) => column(frames[sequence] as Frame));
    expect([Math.max(...got), Math.min(...got)]).toEqual([Math.max(...all), Math.min(...all)]);
  });

  /** Each site's extremes in a list of frames. */
  const extremesOf = (list: readonly Frame[]): [number, number][] =>
    [0, 2, 4].map((index) => {
      const values = list.map((frame) => frame.values[index] as number);
      return [Math.min(...values), Math.max(...values)];
    });
  const extremesIn = ({ envelope }: Series): [number, number][] =>
    sites.map((_, row) => [
      Math.min(...(envelope?.minima[row] ?? []).map(Number)),
      Math.max(...(envelope?.maxima[row] ?? []).map(Number)),
    ]);

  test.each([
    [2, 0, 1e9],
    [10, 5000, 17_777],
    [30, 15_001, 19_000],
    [500, 0, 1e9],
    [100, 12_000, 12_700],
    [2, 12_340, 12_350],
  ])('in %i points from step %i to %i: an envelope with the extremes of every site', async (points, from, to) => {
    const series = await read({ points, from, to, extremes: 'sites' });
    const inRange = frames.filter(({ step }) => step >= from && step <= to);
    expect(extremesIn(series)).toEqual(extremesOf(inRange));
    const { from: starts = [], to: ends = [] } = series.envelope ?? {};
    expect(starts.length).toBeLessThanOrEqual(points);
    expect([Math.min(...starts), Math.max(...ends)]).toEqual([
      Math.min(...inRange.map(({ step }) => step)),
      Math.max(...inRange.map(({ step }) => step)),
    ]);
  });

  test.each([
    [2, 0, 2999],
    [10, 100, 2500],
    [40, 1400, 2600],
    [300, 777, 2900],
    [50, 1990, 2010],
  ])(
    'in %i points over time, from frame %i to %i: only those, in their order, with the extremes of every site',
    async (points, first, last) => {
      const times = { from: frames[first]?.time ?? 0, to: frames[last]?.time ?? 0 };
      const series = await read({ points, times, extremes: 'sites' });
      const inRange = frames.slice(first, last + 1);
      const sequences = sequencesOf(series, 0);
      expect(sequences).toEqual(sequences.toSorted((a, b) => a - b));
      expect(sequences.length).toBeLessThanOrEqual(points);
      expect(sequences.every((sequence) => sequence >= first && sequence <= last)).toBe(true);
      expect(extremesIn(series)).toEqual(extremesOf(inRange));
      const all = extremesOf(inRange).flat();
      const got = extremesOf(sequences.map((sequence) => frames[sequence] as Frame)).flat();
      expect([Math.min(...got), Math.max(...got)]).toEqual([Math.min(...all), Math.max(...all)]);
    },
  );

  test('of a scalar has the frames with its extremes, and no sites', async () => {
    const loss = await read({ name: 'loss', points: 20 });
    expect([loss.sites, loss.values]).toEqual([[], []]);
    expect(loss.scalars['loss']).toContain(55);
    expect(loss.steps[loss.scalars['loss']?.indexOf(55) ?? -1]).toBe(3210);
  });

  test('leaves out frames that came after the run was looked at', async () => {
    const lastSequence = 1499;
    const series = await read({ range: { from: 0, to: 1e9, lastSequence }, points: 20 });
    expect(Math.max(...sequencesOf(series, 0))).toBeLessThanOrEqual(lastSequence);
    expect(sequencesOf(series, 0)).toContain(1234);
  });

  test('needs no frame where points are far apart', async () => {
    const before = await read({ points: 10, extremes: 'sites' });
    const database = new Database(path);
    database.exec("UPDATE frames SET bytes = x'00' WHERE sequence < 2900");
    database.close();
    expect(await read({ points: 10, extremes: 'sites' })).toEqual(before);
    await expect(read({ points: 3000 })).rejects.toMatchObject({ code: 'malformed-frame' });
  });
});

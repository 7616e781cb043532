import { expect, test } from 'vitest';
import { createDownsampler } from '../../server/downsample.ts';

interface Row {
  readonly index: number;
  readonly values: readonly number[];
}

function downsample(rows: readonly Row[], points: number): Row[] {
  const downsampler = createDownsampler<Row>(rows.length, points);
  for (const row of rows) {
    const numbers = row.values.filter((value) => !Number.isNaN(value));
    downsampler.add({
      payload: row,
      highest: numbers.length === 0 ? Number.NaN : Math.max(...numbers),
      lowest: numbers.length === 0 ? Number.NaN : Math.min(...numbers),
    });
  }
  return downsampler.kept();
}

/** A small generator of numbers that gives the same sequence for the same seed (mulberry32). */
function random(seed: number): () => number {
  let state = seed;
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state);
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed;
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
}

function randomRows(next: () => number): Row[] {
  const sites = 1 + Math.floor(next() * 4);
  return Array.from({ length: 1 + Math.floor(next() * 400) }, (_, index) => ({
    index,
    values: Array.from({ length: sites }, () => {
      const kind = next();
      if (kind < 0.2) return Number.NaN;
      if (kind < 0.21) return kind < 0.205 ? Infinity : -Infinity;
      return Math.round((next() - 0.5) * 20) || 0; // no -0
    }),
  }));
}

test('random series keep their order and every extreme, in at most the points asked for', () => {
  for (let seed = 0; seed < 300; seed++) {
    const next = random(seed);
    const rows = randomRows(next);
    const points = 2 + Math.floor(next() * 60);
    const kept = downsample(rows, points);

    expect(kept.length, `seed ${seed}`).toBeLessThanOrEqual(points);
    expect(kept.map((row) => row.index)).toEqual([...new Set(kept.map((row) => row.index))].sort((a, b) => a - b));
    expect(extremes(kept), `seed ${seed}`).toEqual(extremes(rows));

    // Not of the whole only: of every bucket too.
    const buckets = rows.length <= points ? rows.length : Math.floor(points / 2);
    for (let bucket = 0; bucket < buckets; bucket++) {
      const isIn = (row: Row): boolean => Math.floor((row.index * buckets) / rows.length) === bucket;
      expect(kept.some(isIn), `seed ${seed}, bucket ${bucket}`).toBe(true);
      expect(extremes(kept.filter(isIn)), `seed ${seed}, bucket ${bucket}`).toEqual(extremes(rows.filter(isIn)));
    }
  }
});

function extremes(rows: readonly Row[]): [number, number] {
  const numbers = rows.flatMap((row) => row.values).filter((value) => !Number.isNaN(value));
  return [Math.max(...numbers), Math.min(...numbers)];
}

test('a series that fits is kept whole', () => {
  const rows = Array.from({ length: 10 }, (_, index) => ({ index, values: [Number.NaN] }));
  expect(downsample(rows, 10)).toEqual(rows);
  expect(downsample([], 10)).toEqual([]);
});

test('one spike among a hundred thousand frames is kept', () => {
  const rows = Array.from({ length: 100_000 }, (_, index) => ({ index, values: [index === 54_321 ? 1000 : 1] }));
  expect(downsample(rows, 100).filter((row) => row.values[0] === 1000)).toHaveLength(1);
});

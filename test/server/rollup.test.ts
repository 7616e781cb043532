/** Roll-ups against their definition, with values that were not measured, NaN and infinities. */
import { describe, expect, test } from 'vitest';
import { seededRandom } from '../../cli/demo/batches.ts';
import { decodeRollup, encodeRollup, mergeRollups, type Point, type Rollup, rollUp } from '../../server/rollup.ts';
import { absentScalars, absentValues, type Frame, isMeasured } from '../../src/frame.ts';

const metrics = 3;

/** Frames whose number of sites and scalars grows; some values are absent, some NaN, some infinite. */
function randomFrames(random: () => number, count: number, firstSequence = 0): Frame[] {
  return Array.from({ length: count }, (_, index) => {
    const sites = 2 + Math.floor((index * 3) / count);
    const values = absentValues(sites * metrics);
    for (let place = 0; place < values.length; place++) {
      const kind = random();
      if (kind < 0.3) continue;
      values[place] = kind < 0.5 ? Number.NaN : kind < 0.52 ? Infinity : kind < 0.54 ? -Infinity : random() - 0.5;
    }
    const scalars = absentScalars(1 + Math.floor((index * 2) / count));
    if (random() < 0.7) scalars[0] = random() < 0.2 ? Number.NaN : random();
    return {
      sequence: firstSequence + index * 2,
      step: index * 10,
      time: index,
      scalars,
      values,
      topNeurons: { count: 0, indices: new Uint32Array(0), shares: new Float32Array(0) },
    };
  });
}

/** A value and whether it was measured, in words that compare. */
const told = (array: Float32Array | Float64Array, index: number): string =>
  isMeasured(array, index) ? String(array[index]) : 'absent';

const measuredAt = (frames: readonly Frame[], site: number, metric: number): number[] =>
  frames.flatMap(({ values }) => {
    const index = site * metrics + metric;
    return isMeasured(values, index) ? [values[index] as number] : [];
  });

function expectedEnvelope(frames: readonly Frame[], site: number, metric: number): [string, string] {
  const measured = measuredAt(frames, site, metric);
  const numbers = measured.filter((value) => !Number.isNaN(value));
  if (numbers.length > 0) return [String(Math.min(...numbers)), String(Math.max(...numbers))];
  return measured.length > 0 ? ['NaN', 'NaN'] : ['absent', 'absent'];
}

function expectRollup(rollup: Rollup, frames: readonly Frame[], metric: number): void {
  const sites = Math.max(...frames.map(({ values }) => values.length / metrics));
  for (let site = 0; site < sites; site++) {
    expect([told(rollup.minima, site), told(rollup.maxima, site)]).toEqual(expectedEnvelope(frames, site, metric));
  }
  const all = frames.flatMap((_, index) =>
    Array.from({ length: sites }, (_, site) => measuredAt([frames[index] as Frame], site, metric)).flat(),
  );
  const numbers = all.filter((value) => !Number.isNaN(value));
  if (numbers.length > 0) {
    expect([...rollup.highest.values]).toContain(Math.max(...numbers));
    expect([...rollup.lowest.values]).toContain(Math.min(...numbers));
  }
  for (const point of [rollup.highest, rollup.lowest, rollup.last]) expectPoint(point, frames, metric);
  expect(rollup.last.sequence).toBe(frames.at(-1)?.sequence);
}

/** A point is what its frame had, bit by bit. */
function expectPoint(point: Point, frames: readonly Frame[], metric: number): void {
  const frame = frames.find(({ sequence }) => sequence === point.sequence) as Frame;
  expect([point.step, point.time]).toEqual([frame.step, frame.time]);
  for (let site = 0; site < point.values.length; site++)
    expect(told(point.values, site)).toBe(told(frame.values, site * metrics + metric));
  for (let scalar = 0; scalar < point.scalars.length; scalar++)
    expect(told(point.scalars, scalar)).toBe(told(frame.scalars, scalar));
}

const overTheWire = (rollup: Rollup): Rollup => decodeRollup(encodeRollup(rollup).buffer as ArrayBuffer);

describe('a roll-up', () => {
  test("has extremes, last values and each site's envelope as its frames have them", () => {
    const random = seededRandom(1);
    for (let round = 0; round < 50; round++) {
      const frames = randomFrames(random, 1 + Math.floor(random() * 20));
      for (const [series, rollup] of rollUp(frames, metrics).entries()) {
        if (series < metrics) expectRollup(overTheWire(rollup), frames, series);
      }
    }
  });

  test('of roll-ups is that of all their frames', () => {
    const random = seededRandom(2);
    for (let round = 0; round < 50; round++) {
      const early = randomFrames(random, 1 + Math.floor(random() * 9));
      const late = randomFrames(random, 1 + Math.floor(random() * 9), 100);
      const parts = [rollUp(early, metrics), rollUp(late, metrics)];
      for (let series = 0; series < metrics; series++) {
        const rollups = parts.map((part) => overTheWire(part[series] as Rollup));
        expectRollup(overTheWire(mergeRollups(rollups, series, metrics)), [...early, ...late], series);
      }
    }
  });

  test('of a scalar keeps the frames with its extremes, and what came before it was declared stays absent', () => {
    const frames = randomFrames(seededRandom(3), 16);
    frames.forEach(({ scalars }, index) => {
      if (scalars.length > 1) scalars[1] = index === 12 ? -5 : index === 10 ? 7 : 1;
    });
    const [, second] = rollUp(frames, metrics).slice(metrics).map(overTheWire);
    expect(second?.highest.sequence).toBe(frames[10]?.sequence);
    expect(second?.lowest.sequence).toBe(frames[12]?.sequence);
    expect(told(overTheWire(rollUp(frames.slice(0, 9), metrics)[0] as Rollup).last.scalars, 1)).toBe('1');
    expect(second?.minima).toHaveLength(0);
  });
});

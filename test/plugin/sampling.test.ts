/** Which steps are sampled: every so many, all of a warm-up, densely while a metric moves. */
import { describe, expect, test } from 'vitest';
import { movementBetween, Sampler, type SamplingSettings } from '../../plugin/sampling.ts';

/** The steps that are sampled, where sampled step `step` moves by `movement(step)`. */
function sampledSteps(
  settings: Partial<SamplingSettings>,
  { first = 0, last = 100, movement = () => Number.NaN }: Course = {},
): number[] {
  const sampler = new Sampler({ every: 10, warmUpSteps: 0, adaptive: undefined, ...settings }, first);
  const steps: number[] = [];
  for (let step = first; step <= last; step++) {
    if (!sampler.isDue(step)) continue;
    steps.push(step);
    sampler.sampled(step);
    sampler.moved(step, movement(step));
  }
  return steps;
}

interface Course {
  readonly first?: number;
  readonly last?: number;
  readonly movement?: (step: number) => number;
}

const distances = (steps: readonly number[]) => steps.slice(1).map((step, index) => step - (steps[index] as number));

describe('sampling', () => {
  test('takes the first step and every so many after it', () => {
    expect(sampledSteps({ every: 25 })).toEqual([0, 25, 50, 75, 100]);
    expect(sampledSteps({ every: 1 }, { last: 3 })).toEqual([0, 1, 2, 3]);
  });

  test('falls into step with the run that it resumes', () => {
    expect(sampledSteps({ every: 10 }, { first: 37, last: 61 })).toEqual([37, 40, 50, 60]);
    expect(sampledSteps({ every: 10 }, { first: 40, last: 61 })).toEqual([40, 50, 60]);
  });

  test('takes all of a warm-up, then goes on as ever', () => {
    expect(sampledSteps({ every: 10, warmUpSteps: 4 }, { last: 25 })).toEqual([0, 1, 2, 3, 10, 20]);
    expect(sampledSteps({ every: 10, warmUpSteps: 3 }, { first: 8, last: 25 })).toEqual([8, 9, 10, 20]);
  });

  test('takes the next step when something happens, once', () => {
    const sampler = new Sampler({ every: 10, warmUpSteps: 0, adaptive: undefined }, 0);
    sampler.sampled(0);
    sampler.hurry(4);
    expect([3, 4, 5].map((step) => sampler.isDue(step))).toEqual([false, true, true]);
    sampler.sampled(4);
    expect([5, 9, 10].map((step) => sampler.isDue(step))).toEqual([false, false, true]);
  });

  test('adapts: dense while a metric moves, rare while it does not', () => {
    const adaptive = { shortest: 1, longest: 40 };
    expect(distances(sampledSteps({ adaptive }, { movement: () => 0 }))).toEqual([20, 40, 40]);
    expect(distances(sampledSteps({ adaptive }, { last: 20, movement: () => 1 }))).toEqual([
      5, 2, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1,
    ]);
    // A jump at step 60 and calm before and after it.
    const steps = sampledSteps({ adaptive }, { last: 300, movement: (step) => (step >= 60 && step < 70 ? 2 : 0) });
    expect(steps).toEqual([0, 20, 60, 80, 120, 160, 200, 240, 280]);
    // Neither fast nor slow, or not known: as it was.
    for (const movement of [0.05, Number.NaN]) {
      expect(distances(sampledSteps({ adaptive }, { last: 40, movement: () => movement }))).toEqual([10, 10, 10, 10]);
    }
  });

  test('does not take the small steps of a warm-up for calm', () => {
    const adaptive = { shortest: 1, longest: 40 };
    const steps = sampledSteps({ adaptive, warmUpSteps: 20 }, { last: 60, movement: () => 0 });
    expect(steps.slice(19)).toEqual([19, 29, 49]);
  });

  test('adapts to what comes late as to what comes at once', () => {
    const sampler = new Sampler({ every: 10, warmUpSteps: 0, adaptive: { shortest: 1, longest: 40 } }, 0);
    sampler.sampled(0);
    expect(sampler.isDue(1)).toBe(false);
    sampler.moved(0, 1);
    expect([4, 5].map((step) => sampler.isDue(step))).toEqual([false, true]);
  });

  test('keeps within its bounds, whatever moves', () => {
    let seed = 1;
    const random = () => {
      seed = (seed * 48271) % 2147483647;
      return seed / 2147483647;
    };
    for (let trial = 0; trial < 200; trial++) {
      const shortest = 1 + Math.floor(random() * 8);
      const longest = shortest + Math.floor(random() * 60);
      const every = 1 + Math.floor(random() * 80);
      const moves = [0, 0.05, 0.2, Number.NaN, Number.POSITIVE_INFINITY];
      const movement = () => moves[Math.floor(random() * moves.length)] as number;
      const steps = sampledSteps({ every, adaptive: { shortest, longest } }, { last: 500, movement });
      expect(steps[0]).toBe(0);
      for (const distance of distances(steps)) {
        expect(distance).toBeGreaterThanOrEqual(shortest);
        expect(distance).toBeLessThanOrEqual(longest);
      }
    }
  });

  test('judges movement by the site that moved most', () => {
    const at = (values: Record<string, number>) => new Map(Object.entries(values));
    expect(movementBetween(at({ a: 1, b: 2 }), at({ a: 1.1, b: 1 }))).toBeCloseTo(Math.LN2, 10);
    expect(movementBetween(at({ a: 1 }), at({ a: 1 }))).toBe(0);
    expect(movementBetween(at({}), at({ a: 1 }))).toBeNaN();
    expect(movementBetween(at({ a: Number.NaN }), at({ a: Number.NaN }))).toBeNaN();
    expect(movementBetween(at({ a: 2, b: 3 }), at({ a: Number.NaN, b: 3 }))).toBe(Number.POSITIVE_INFINITY);
    expect(movementBetween(at({ a: Number.NaN }), at({ a: 3 }))).toBe(Number.POSITIVE_INFINITY);
  });
});

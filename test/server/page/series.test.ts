import { describe, expect, test } from 'vitest';
import {
  admit,
  closestIndex,
  isWorse,
  type Series,
  stepDomain,
  toSeries,
  toValue,
  withFrame,
} from '../../../server/page/series.ts';
import type { FrameView } from '../../../server/page/types.ts';

const series: Series = {
  metric: 'kurtosis',
  steps: [0, 10],
  sites: ['a', 'b'],
  values: [
    [1, 2],
    [3, 4],
  ],
  scalars: { loss: [9, 8] },
};

function frame(step: number, kurtosis: FrameView['values'][string]): FrameView {
  return { sequence: 2, step, time: 0, scalars: { loss: 7 }, values: { kurtosis }, topNeurons: [] };
}

describe('values from the wire', () => {
  test.each([
    [1.5, 1.5],
    ['NaN', Number.NaN],
    ['Infinity', Number.POSITIVE_INFINITY],
    ['-Infinity', Number.NEGATIVE_INFINITY],
    [null, null],
    [undefined, null],
    ['<b>', null],
  ])('%j reads as %j', (wire, value) => {
    expect(toValue(wire)).toBe(value);
  });

  test('a series keeps its shape', () => {
    const answer = {
      metric: 'rms',
      steps: [0, 5],
      times: [0, 1],
      sites: ['a'],
      values: [[1, 'NaN']],
      scalars: { loss: [2, null] },
    };
    expect(toSeries(answer)).toEqual({
      metric: 'rms',
      steps: [0, 5],
      sites: ['a'],
      values: [[1, Number.NaN]],
      scalars: { loss: [2, null] },
    });
  });
});

describe('live frames', () => {
  test.each([
    [4, 'duplicate'],
    [5, 'duplicate'],
    [6, 'append'],
    [7, 'gap'],
  ] as const)('after sequence 5, sequence %i is a %s', (sequence, admission) => {
    expect(admit(5, sequence)).toBe(admission);
  });

  test('the first frame of a run follows on nothing', () => {
    expect(admit(-1, 0)).toBe('append');
  });

  test('a frame of a later step goes at the end, and the series before it is left as it was', () => {
    const extended = withFrame(series, frame(20, [5, 'Infinity']));
    expect(extended).toEqual({
      ...series,
      steps: [0, 10, 20],
      values: [
        [1, 2, 5],
        [3, 4, Number.POSITIVE_INFINITY],
      ],
      scalars: { loss: [9, 8, 7] },
    });
    expect(series.steps).toEqual([0, 10]);
  });

  test('a frame of the last step replaces it', () => {
    expect(withFrame(series, frame(10, [5, 6]))).toMatchObject({
      steps: [0, 10],
      values: [
        [1, 5],
        [3, 6],
      ],
      scalars: { loss: [9, 7] },
    });
  });

  test('a frame of an earlier step, of other sites or without the metric does not fit', () => {
    expect(withFrame(series, frame(5, [5, 6]))).toBeUndefined();
    expect(withFrame(series, frame(20, [5, 6, 7]))).toBeUndefined();
    expect(withFrame({ ...series, metric: 'rms' }, frame(20, [5, 6]))).toBeUndefined();
  });
});

describe('steps', () => {
  test.each([
    [-5, 0],
    [4, 0],
    [5, 0],
    [6, 1],
    [14, 1],
    [29, 2],
    [99, 2],
  ])('the step closest to %i is the one at index %i', (position, index) => {
    expect(closestIndex([0, 10, 30], position)).toBe(index);
  });

  test('no steps, no index', () => {
    expect(closestIndex([], 3)).toBe(-1);
  });

  test('the axis has half a step of room at each end', () => {
    expect(stepDomain([0, 10, 30])).toEqual([-5, 40]);
    expect(stepDomain([7])).toEqual([6.5, 7.5]);
    expect(stepDomain([])).toEqual([0, 1]);
  });
});

describe('worse', () => {
  test('is the higher or the lower value, as the metric has it', () => {
    expect(isWorse(2, 1, 'higher')).toBe(true);
    expect(isWorse(2, 1, 'lower')).toBe(false);
    expect(isWorse(1, 2, 'lower')).toBe(true);
  });

  test('what is no number is worse than any number, and what is not measured is no news', () => {
    expect(isWorse(Number.NaN, 1e9, 'higher')).toBe(true);
    expect(isWorse(1e9, Number.NaN, 'higher')).toBe(false);
    expect(isWorse(Number.POSITIVE_INFINITY, 0, 'lower')).toBe(true);
    expect(isWorse(null, 1, 'higher')).toBe(false);
    expect(isWorse(1, null, 'higher')).toBe(true);
  });
});

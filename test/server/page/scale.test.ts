import { describe, expect, test } from 'vitest';
import { colourScale, positionOf, type Scale, scaleKindOf, ticksOf, valueAt } from '../../../server/page/scale.ts';

describe('the colour scale of a metric', () => {
  test('is logarithmic for ratios, counts from 0 for values, and fixed for correlations', () => {
    expect(scaleKindOf('kurtosis', 'ratio')).toBe('log');
    expect(scaleKindOf('absmax', 'activation')).toBe('log');
    expect(scaleKindOf('nonfinite', 'values')).toBe('counts');
    expect(colourScale('input_correlation', 'ratio', [0.2, 0.6])).toEqual({ kind: 'linear', from: 0, to: 1 });
    expect(colourScale('input_correlation', 'ratio', [-0.2, 0.6])).toEqual({ kind: 'linear', from: -1, to: 1 });
  });

  test('begins where kurtosis begins and ends at a round number', () => {
    expect(colourScale('kurtosis', 'ratio', [1.1, 8.3])).toEqual({ kind: 'log', from: 1, to: 10 });
    expect(colourScale('kurtosis', 'ratio', [1.1, 5.7])).toEqual({ kind: 'log', from: 1, to: 6 });
  });

  test('does not make a picture of noise', () => {
    expect(colourScale('kurtosis', 'ratio', [1.01, 1.03])).toEqual({ kind: 'log', from: 1, to: 2 });
  });

  test('passes over what is no number or was not measured', () => {
    const values = [Number.NaN, null, Number.POSITIVE_INFINITY, 1.5, 3, 0, -1];
    expect(colourScale('kurtosis', 'ratio', values)).toEqual({ kind: 'log', from: 1, to: 3 });
    expect(colourScale('kurtosis', 'ratio', [null])).toEqual({ kind: 'log', from: 1, to: 10 });
    expect(colourScale('nonfinite', 'values', [0, 0])).toEqual({ kind: 'counts', from: 0, to: 10 });
  });
});

describe('positions', () => {
  const log: Scale = { kind: 'log', from: 1, to: 100 };

  test('are even in the logarithm, and held within the scale', () => {
    expect(positionOf(log, 1)).toBe(0);
    expect(positionOf(log, 10)).toBeCloseTo(0.5, 12);
    expect(positionOf(log, 100)).toBe(1);
    expect([positionOf(log, 0), positionOf(log, -3), positionOf(log, 1e9)]).toEqual([0, 0, 1]);
    expect(positionOf({ kind: 'counts', from: 0, to: 10 }, 0)).toBe(0);
  });

  test.each<Scale>([log, { kind: 'linear', from: -1, to: 1 }, { kind: 'counts', from: 0, to: 1000 }])(
    'and values are each other inverted on a scale of kind $kind',
    (scale) => {
      for (const position of [0, 0.25, 0.5, 1])
        expect(positionOf(scale, valueAt(scale, position))).toBeCloseTo(position, 9);
    },
  );
});

describe('ticks', () => {
  test.each<[Scale, number, number[]]>([
    [{ kind: 'log', from: 1, to: 10 }, 6, [1, 2, 5, 10]],
    [{ kind: 'log', from: 1.13, to: 9.9 }, 6, [1.5, 2, 3, 5, 7]],
    [{ kind: 'log', from: 1, to: 1e6 }, 4, [1, 100, 1e4, 1e6]],
    [{ kind: 'counts', from: 0, to: 100 }, 4, [0, 1, 10, 100]],
    [{ kind: 'linear', from: 0, to: 1 }, 6, [0, 0.2, 0.4, 0.6, 0.8, 1]],
    [{ kind: 'linear', from: 0, to: 695 }, 8, [0, 100, 200, 300, 400, 500, 600]],
    [{ kind: 'linear', from: 3, to: 3 }, 5, [3]],
  ])('of %j, at most %i, are %j', (scale, most, ticks) => {
    expect(ticksOf(scale, most)).toEqual(ticks);
  });

  test('are never more than asked for, and never outside', () => {
    for (const from of [0.003, 0.9, 1, 40])
      for (const factor of [1.02, 1.5, 4, 90, 1e5])
        for (const most of [3, 5, 8]) {
          const ticks = ticksOf({ kind: 'log', from, to: from * factor }, most);
          expect(ticks.length).toBeLessThanOrEqual(most + 1);
          expect(ticks.every((tick) => tick >= from * 0.999 && tick <= from * factor * 1.001)).toBe(true);
        }
  });
});

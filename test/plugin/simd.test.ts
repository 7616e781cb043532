/** What SIMD computes on the host: column moments against sums in float64, medians against a sort, whatever shape and magnitude. */
import { readFileSync } from 'node:fs';
import { afterEach, describe, expect, test, vi } from 'vitest';
import type { SummaryParts } from '../../plugin/measure/layout.ts';
import { momentsOf } from '../../plugin/measure/moments.ts';
import { type Simd, simdHere } from '../../plugin/measure/simd.ts';
import { mediansOf, simdMediansOf } from '../../plugin/measure/whole-rows.ts';
import { assembleSimd } from '../../scripts/build-simd.ts';
import { random } from '../reference/inputs.ts';

const all: SummaryParts = { propagation: true, fourth: true, gramRows: 0, sampleRows: 0 };

/** The same by the definitions, in float64. */
function expected(values: Float32Array, width: number) {
  const rows = values.length / width;
  const zeros = () => new Float64Array(width);
  const sums = { squares: zeros(), means: zeros(), centredSquares: zeros(), fourthPowers: zeros() };
  for (let row = 0; row < rows; row++) {
    const of = values.subarray(row * width, (row + 1) * width);
    const mean = of.reduce((sum, value) => sum + value, 0) / width;
    for (const [column, value] of of.entries()) {
      (sums.squares[column] as number) += value ** 2 / rows;
      (sums.means[column] as number) += value / rows;
      (sums.centredSquares[column] as number) += (value - mean) ** 2 / rows;
      (sums.fourthPowers[column] as number) += value ** 4 / rows;
    }
  }
  return sums;
}

function expectMoments(values: Float32Array, width: number): void {
  const measured = momentsOf(values, width, all);
  if (measured === undefined) throw new Error('all values are finite');
  const powers = { squares: 2, means: 1, centredSquares: 2, fourthPowers: 4 } as const;
  const exact = expected(values, width);
  expect(measured.absmax).toBe(values.reduce((most, value) => Math.max(most, Math.abs(value)), 0));
  for (const [name, power] of Object.entries(powers) as [keyof typeof powers, number][]) {
    const largest = exact[name].reduce((most, value) => Math.max(most, Math.abs(value)), 0);
    const got = Array.from(measured[name], (value) => value / measured.scale ** power);
    expect(got).toHaveLength(width);
    for (const [column, value] of got.entries()) {
      const error = Math.abs(value - (exact[name][column] as number));
      expect(error, `${name} of column ${column}`).toBeLessThanOrEqual(1e-6 * largest);
    }
  }
}

describe('moments', () => {
  test.each([
    [1, 1],
    [1, 4],
    [3, 5],
    [31, 7],
    [32, 8],
    [33, 12],
    [1000, 3],
    [5, 1027],
    [4100, 33], // several pieces
    [2, 140_000], // a row is more than a piece
  ])('of [%i, %i] are those of the definitions', (rows, width) => {
    expectMoments(random(rows, width, 7), width);
  });

  test.each([1e-30, 1e-20, 1e-7, 1e-6, 1e6, 1e7, 1e16, 1e20, 1e37])(
    'of magnitudes around %d keep their digits',
    (size) => {
      expectMoments(
        random(200, 6, 8).map((value) => value * size),
        6,
      );
    },
  );

  test('of a massive neuron do not cost the others their digits', () => {
    const values = random(500, 8, 9);
    for (let row = 0; row < 500; row++) (values[8 * row + 3] as number) *= 3000;
    const [measured, exact] = [momentsOf(values, 8, all), expected(values, 8)];
    for (const column of [0, 3, 7]) {
      expect((measured?.squares[column] as number) / (exact.squares[column] as number)).toBeCloseTo(1, 6);
      expect((measured?.fourthPowers[column] as number) / (exact.fourthPowers[column] as number)).toBeCloseTo(1, 6);
    }
  });

  test.each([Number.NaN, Number.POSITIVE_INFINITY, Number.NEGATIVE_INFINITY])('are not there with a %d', (bad) => {
    for (const at of [0, 50, 99]) {
      const values = random(20, 5, 10);
      values[at] = bad;
      expect(momentsOf(values, 5, all)).toBeUndefined();
    }
  });

  test('that are not asked for are empty, and nothing is left of the tensor before', () => {
    momentsOf(random(100, 9, 11), 9, all);
    const squaresOnly = { ...all, propagation: false, fourth: false };
    const { squares, means, centredSquares, fourthPowers } = momentsOf(
      Float32Array.of(1, 2, 3),
      3,
      squaresOnly,
    ) as never as Record<string, Float64Array>;
    expect([squares, means, centredSquares, fourthPowers].map((piece) => [...(piece ?? [])])).toEqual([
      [1, 4, 9],
      [],
      [],
      [],
    ]);
  });
});

describe('medians and largest magnitudes of rows', () => {
  const simd = simdHere() as Simd;
  const widths = [1, 2, 3, 4, 5, 7, 8, 9, 64, 127, 128, 1027];

  test.each(widths)('of width %i are those of a sort', (width) => {
    const rows = 40;
    const inputs = [
      random(rows, width, width),
      random(rows, width, width).map((value) => Math.round(2 * value)), // many equal
      random(rows, width, width).map((value) => Math.max(0, value - 1)), // most of them 0
      random(rows, width, width).map((value, index) => (index % width === 1 ? value * 1e30 : value * 1e-30)),
      new Float32Array(rows * width),
      new Float32Array(rows * width).fill(-0.7),
    ];
    for (const values of inputs) {
      const expected = Array.from({ length: rows }, (_, row) => {
        const sorted = values
          .slice(row * width, (row + 1) * width)
          .map(Math.abs)
          .sort();
        return [sorted[(width - 1) >> 1], sorted[width - 1]];
      }).flat();
      expect([...simdMediansOf(simd, values, width)]).toEqual(expected);
      expect([...mediansOf(values, width)]).toEqual(expected);
    }
  });
});

describe('without WebAssembly', () => {
  afterEach(() => vi.unstubAllGlobals());

  test('tensors are reduced by the backend, wherever they lie', async () => {
    vi.resetModules();
    await (await import('../support/backends.ts')).describeOn('cpu');
    const reductionName = async () => {
      const { createReduction } = await import('../../plugin/measure/reduction.ts');
      return createReduction().constructor.name;
    };
    expect(await reductionName()).toBe('HostReduction');
    vi.resetModules();
    // What a page may that no Content-Security-Policy lets compile.
    vi.stubGlobal('WebAssembly', {
      Module: class {
        constructor() {
          throw new Error('refused to compile: the Content-Security-Policy has no wasm-unsafe-eval');
        }
      },
    });
    await (await import('../support/backends.ts')).describeOn('cpu');
    expect(await reductionName()).toBe('DeviceReduction');
  });
});

test('the assembled code is that of its source', async () => {
  const committed = readFileSync(new URL('../../plugin/measure/simd-wasm.ts', import.meta.url), 'utf8');
  expect(committed.replace(/\s/g, '')).toBe((await assembleSimd()).replace(/\s/g, ''));
});

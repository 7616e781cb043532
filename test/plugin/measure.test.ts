/** The pure parts of measuring: which rows are looked at, how a summary lies in what is downloaded, the k-th smallest value. */
import { describe, expect, test } from 'vitest';
import { activationParts, gradientParts, layoutOf, readSummary, summaryLength } from '../../plugin/measure/layout.ts';
import { sampledRowCount, sampledRows } from '../../plugin/measure/rows.ts';
import { measureSite } from '../../plugin/measure/site.ts';
import { int8NoiseOfRows, select } from '../../plugin/measure/whole-rows.ts';
import { metricsOfGroup } from '../../src/catalogue.ts';
import { mulberry32, random } from '../reference/inputs.ts';

describe('sampledRows', () => {
  test('all rows, in order, where there are no more than asked for', () => {
    expect([...sampledRows(5, 64)]).toEqual([0, 1, 2, 3, 4]);
    expect([...sampledRows(64, 64)]).toEqual(Array.from({ length: 64 }, (_, row) => row));
    expect([...sampledRows(0, 64)]).toEqual([]);
  });

  const counts = Object.values(sampledRowCount);
  test.each(counts)('%i of more: as many, ascending, none twice, none beyond the end', (count) => {
    const sizes = [1, 2, 3, 50, count, count * 2, count * 3, count * 15, 100_003].map((more) => count + more);
    for (const n of [...sizes, 128 * 128, 2 ** 20]) {
      const rows = sampledRows(n, count);
      expect(rows).toHaveLength(count);
      expect(rows[0]).toBeGreaterThanOrEqual(0);
      expect(rows[count - 1]).toBeLessThan(n);
      for (let index = 1; index < count; index++) expect(rows[index]).toBeGreaterThan(rows[index - 1] as number);
    }
  });

  test.each(counts)('%i are spread evenly: each tenth of the rows has about a tenth', (count) => {
    for (const n of [Math.ceil(count * 1.5), 4096, 100_003].filter((rows) => rows > count)) {
      const tenths = Array.from({ length: 10 }, () => 0);
      for (const row of sampledRows(n, count)) (tenths[Math.floor((row / n) * 10)] as number) += 1;
      for (const tenth of tenths) expect(Math.abs(tenth - count / 10)).toBeLessThanOrEqual(Math.max(2, 0.05 * count));
    }
  });

  // 34 and 89 are Fibonacci numbers: multiples of the golden ratio would be in step with so many sequences.
  test.each([64, 100, 128, 1024])('in step with no number of sequences of %i', (length) => {
    for (const count of counts) {
      for (const sequences of [9, 16, 17, 24, 32, 34, 64, 89, 128].filter((each) => each * length > count)) {
        const positions = [...sampledRows(length * sequences, count)].map((row) => row % length);
        // Drawn at random, 64 of 64 positions would be 40 different ones, and an even stride sees 4 of 128.
        expect(new Set(positions).size).toBeGreaterThanOrEqual(0.5 * Math.min(count, length));
        const early = positions.filter((position) => position < length / 2).length;
        expect(Math.abs(early / count - 0.5)).toBeLessThan(0.2);
      }
    }
  });
});

describe('select', () => {
  test('the k-th smallest of every kind of row, for every k', () => {
    const uniform = mulberry32(81);
    const rows = [
      random(1, 129, 82).map(Math.abs),
      Float32Array.from({ length: 100 }, () => Math.floor(uniform() * 4)),
      Float32Array.from({ length: 64 }, (_, index) => index),
      Float32Array.from({ length: 64 }, (_, index) => -index),
      Float32Array.from({ length: 50 }, () => 7),
      Float32Array.of(0, Number.POSITIVE_INFINITY, 1e-40, 3e38),
      Float32Array.of(5),
      Float32Array.of(2, 1),
    ];
    for (const row of rows) {
      const sorted = row.slice().sort();
      for (let k = 0; k < row.length; k++) expect(select(row.slice(), k)).toBe(sorted[k]);
    }
  });
});

describe('int8NoiseOfRows', () => {
  test('rounds half to even, with the scale of the whole tensor', () => {
    // scale 1: 0.5 -> 0, 1.5 -> 2, -2.5 -> -2, 127 -> 127
    expect(int8NoiseOfRows(Float32Array.of(0.5, 1.5, -2.5, 127), 127)).toEqual({ signal: 16137.75, noise: 0.75 });
    // scale 2: 3 -> 4, -5 -> -4; nothing here is as large as the largest of the tensor
    expect(int8NoiseOfRows(Float32Array.of(3, -5), 254)).toEqual({ signal: 34, noise: 2 });
  });
});

describe('a summary', () => {
  const full = activationParts(metricsOfGroup('full'));

  test('has the rows of all axes but the last, and no more sampled rows than that', () => {
    expect(layoutOf([4, 9, 7, 24], full)).toMatchObject({ rows: 252, width: 24, gramRows: 252, sampleRows: 64 });
    expect(layoutOf([2, 300, 8], full)).toMatchObject({ rows: 600, width: 8, gramRows: 512, sampleRows: 64 });
    expect(layoutOf([3, 5], full)).toMatchObject({ rows: 3, width: 5, gramRows: 3, sampleRows: 3 });
  });

  test('holds what a list of metrics needs, and no more', () => {
    const length = (...parts: Parameters<typeof activationParts>) =>
      summaryLength(layoutOf([1000, 10], activationParts(...parts)));
    expect(summaryLength(layoutOf([1000, 10], gradientParts))).toBe(1 + 10);
    expect(length(['kurtosis', 'rms', 'absmax', 'nonfinite'])).toBe(1 + 10);
    expect(length(['input_correlation'])).toBe(1 + 3 * 10);
    expect(length(['kurtosis_raw'])).toBe(1 + 2 * 10);
    expect(length(['max_median_ratio'])).toBe(1 + 10 + 64 * 10);
    expect(length(['attention_entropy', 'gradient_rms'])).toBe(1 + 10);
    // Sums by row of both Gram matrices' 10 x 10, energies of 512 rows, of the 16 longest their energies and products.
    expect(length(['effective_rank'])).toBe(1 + 10 + 2 * 10 + 512 + 2 * 16);
  });

  test('is read where it begins, as views', () => {
    const layout = layoutOf([2, 3], activationParts(['input_correlation', 'max_median_ratio']));
    const values = Float32Array.from({ length: 5 + summaryLength(layout) }, (_, index) => index);
    const summary = readSummary(values, 5, layout, 0.5);
    expect(summary).toMatchObject({ rows: 2, width: 3, scale: 0.5 });
    const pieces = [summary.largestSquare, summary.squares, summary.means, summary.centredSquares, summary.sample];
    expect(pieces.map((piece) => [...piece])).toEqual([
      [5],
      [6, 7, 8],
      [9, 10, 11],
      [12, 13, 14],
      [15, 16, 17, 18, 19, 20],
    ]);
    expect([summary.fourthPowers, summary.gram].map(({ length }) => length)).toEqual([0, 0]);
    expect(summary.squares.buffer).toBe(values.buffer);
  });

  test('of the essential group gives its metrics, and no other', () => {
    const layout = layoutOf([2, 2], activationParts(metricsOfGroup('essential')));
    // X = (1 2; 3 4): squares 1 4 9 16, centred rows (-0.5 0.5) twice
    const values = Float32Array.of(16, 5, 10, 2, 3, 0.25, 0.25);
    const activations = { summaries: [readSummary(values, 0, layout)], nonfinite: 0 };
    const { metrics, topNeurons } = measureSite(
      { activations, gradients: { summaries: [], nonfinite: 0 }, attention: [] },
      1,
    );
    expect(metrics).toEqual({
      kurtosis: expect.closeTo(10 / 9, 12),
      kurtosis_centred: 1,
      input_correlation: expect.closeTo(11 / 15, 12),
      rms: Math.sqrt(7.5),
      absmax: 4,
      nonfinite: 0,
    });
    expect(topNeurons).toEqual([{ neuron: 1, share: 10 / 15 }]);
  });
});

/**
 * Parity: what the plugin measures on a backend, through the probe of a real training step, against the definitions in
 * test/reference. Each backend has a test file that calls this.
 */
import * as tf from '@tensorflow/tfjs-core';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { columnMeans, rowMeans } from '../../plugin/measure/means.ts';
import type { SiteMeasurement } from '../../plugin/measure/site.ts';
import { type SiteMetric, type SiteMetricName, siteMetrics } from '../../src/catalogue.ts';
import { rankCollapsed, scaled, withNaN, withOutliers } from '../reference/inputs.ts';
import { authorsKurtosis, toMatrix, topNeurons } from '../reference/metrics.ts';
import type { BackendName } from '../support/backends.ts';
import { attentionCases } from './parity-attention.ts';
import { type ParityCase, parityCases } from './parity-cases.ts';
import {
  activationFormulas,
  attentionFormulas,
  expectedOf,
  gradientFormulas,
  noNoise,
  withoutSubnormal,
} from './parity-expected.ts';
import { measureAttentionStep, measureSites, measureStep, observeOnce, type Place, places } from './parity-step.ts';

/** Within 1e-5 of the expected number, or 1e-6 where that is near 0. NaN and Infinity have to be themselves. */
function expectClose(actual: number | undefined, expected: number, what: string): void {
  if (Number.isFinite(expected) && typeof actual === 'number') {
    const error = Math.abs(actual - expected);
    expect(error, `${what}: ${actual}, expected ${expected}`).toBeLessThanOrEqual(
      Math.max(1e-5 * Math.abs(expected), 1e-6),
    );
  } else expect(actual, what).toBe(expected);
}

function expectMetrics(actual: SiteMeasurement['metrics'], expected: readonly [SiteMetricName, number][]): void {
  for (const [name, value] of expected) {
    const measured = actual[name] as number;
    expectClose(name === 'int8_sqnr' ? Math.min(noNoise, measured) : measured, value, name);
  }
}

function namesOf(...parts: SiteMetric['of'][]): string[] {
  return siteMetrics.filter(({ of }) => parts.includes(of)).map(({ name }) => name);
}

/** What was measured of a case is what the definitions say. */
export function expectParity(
  { shape, data, gradient }: ParityCase,
  { metrics, topNeurons: top }: SiteMeasurement,
): void {
  const width = shape[shape.length - 1] as number;
  const matrixOf = (values: Float32Array) => toMatrix(withoutSubnormal(values), values.length / width, width);
  const matrix = matrixOf(data);
  expect(Object.keys(metrics).toSorted()).toEqual(namesOf('activations', 'gradients').toSorted());
  expectMetrics(metrics, expectedOf(activationFormulas, matrix));
  expectMetrics(metrics, expectedOf(gradientFormulas, matrixOf(gradient)));
  expectTopNeurons(top, matrix);
  expectClose(((metrics.kurtosis_centred as number) - 1) * (width / (width - 1)), authorsOf(matrix), 'authors');
}

export function parityTests(backend: BackendName): void {
  let before = 0;
  beforeEach(() => {
    expect(tf.getBackend()).toBe(backend);
    before = tf.memory().numTensors;
  });
  afterEach(() => {
    expect(tf.memory().numTensors).toBe(before);
  });

  for (const place of Object.keys(places) as Place[]) describe(`reduced on the ${place}`, () => reductionTests(place));

  describe('attention is measured as defined', () => {
    test.each(attentionCases)('$name', ({ shape, weights, logits }) => {
      const metrics = measureAttentionStep({ shape, weights, logits });
      const keys = shape[shape.length - 1] as number;
      const matrixOf = (values: Float32Array) => toMatrix(values, values.length / keys, keys);
      const expected = [matrixOf(weights), matrixOf(logits)].map((matrix) => expectedOf(attentionFormulas, matrix));

      expect(Object.keys(metrics).toSorted()).toEqual(namesOf('attention').toSorted());
      expectMetrics(metrics, [expected[0]?.[0], expected[1]?.[1]] as [SiteMetricName, number][]);
    });

    test('what is not given is NaN; of several passes the mean entropy and the largest logit', () => {
      const [first, second] = attentionCases as [(typeof attentionCases)[number], (typeof attentionCases)[number]];
      const { weights: _, ...withoutWeights } = first;
      expect(measureAttentionStep(withoutWeights).attention_entropy).toBeNaN();
      const [one, other, both] = [[first], [second], [first, second]].map((passes) => measureAttentionStep(...passes));
      const mean = ((one?.attention_entropy as number) + (other?.attention_entropy as number)) / 2;
      expectClose(both?.attention_entropy, mean, 'attention_entropy');
      const largest = Math.max(one?.max_attention_logit as number, other?.max_attention_logit as number);
      expect(both?.max_attention_logit).toBe(largest);
    });
  });

  test('means of long columns and rows keep six digits', () => {
    for (const value of [0.7, -1e-12]) {
      const [columns, rows] = tf.tidy(() => [
        columnMeans(tf.fill([2, 100_003, 3], value)).dataSync(),
        rowMeans(tf.fill([2, 3, 10_007], value)).dataSync(),
      ]);
      for (const mean of [...(columns ?? []), ...(rows ?? [])]) expect(Math.abs(mean / value - 1)).toBeLessThan(2e-6);
    }
  });
}

function reductionTests(place: Place): void {
  describe('activations and gradients are measured as defined', () => {
    test.each(parityCases)('$name', (parityCase) => {
      expectParity(parityCase, measureStep(place, parityCase));
    });
  });

  test('the probe is an identity, forward and backward', () => {
    const { data } = parityCases[0] as (typeof parityCases)[number];
    const gradient = scaled(data, -3).reverse();
    const { value, passedBack } = observeOnce(place, { shape: [data.length / 8, 2, 4], data, gradient });
    expect(value).toEqual(data);
    expect(passedBack).toEqual(gradient);
  });

  test('ratios do not depend on the magnitude, from 1e-20 to 1e20', () => {
    const shape = [120, 48];
    const data = withOutliers(120, 48, 61);
    const unit = measureStep(place, { shape, data, gradient: data }).metrics;
    const free = siteMetrics.filter(({ unit: of }) => of === 'ratio' || of === 'decibels').map(({ name }) => name);
    for (let exponent = -20; exponent <= 20; exponent += 4) {
      const times = scaled(data, 10 ** exponent);
      const { metrics } = measureStep(place, { shape, data: times, gradient: times });
      for (const name of free) expectClose(metrics[name], unit[name] as number, `${name} times 1e${exponent}`);
    }
  });

  test('sites of one step are kept apart, of equal shape and of others', () => {
    const shapes = [
      [3, 20, 12],
      [60, 12],
      [60, 13],
      [3, 20, 12],
    ];
    const passes = shapes.map((shape, index) => {
      const data = withOutliers(60, shape.at(-1) as number, 70 + index);
      return [`site ${index}`, { shape, data, gradient: scaled(data, index + 1) }] as const;
    });
    const together = measureSites(place, passes);
    expect([...together.keys()]).toEqual(passes.map(([site]) => site));
    for (const [site, pass] of passes) {
      const alone = measureStep(place, pass);
      const { metrics, topNeurons: top } = together.get(site) as SiteMeasurement;
      for (const [name, value] of Object.entries(alone.metrics))
        expectClose(metrics[name as SiteMetricName], value, name);
      expect(top.map(({ neuron }) => neuron)).toEqual(alone.topNeurons.map(({ neuron }) => neuron));
    }
  });

  describe('two passes of half the rows count as one of all rows', () => {
    const [rows, width] = [64, 40];
    const half = (rows * width) / 2;
    const outliers = withOutliers(rows, width, 62);
    const collapsed = rankCollapsed(rows, width, 63);
    test.each([
      ['with outliers', outliers],
      ['rank collapsed', collapsed],
      ['the second 1e15 times larger', outliers.map((value, index) => (index < half ? value : value * 1e15))],
      ['the first 1e-15 times smaller', collapsed.map((value, index) => (index < half ? value * 1e-15 : value))],
      ['the first all 0', outliers.map((value, index) => (index < half ? 0 : value))],
      ['a NaN in the second', withNaN(rows, width, 64)],
    ])('%s', (_, data) => {
      const step = (part: Float32Array) => ({ shape: [part.length / width, width], data: part, gradient: part });
      const merged = measureStep(place, step(data.subarray(0, half)), step(data.subarray(half)));
      const matrix = toMatrix(data, rows, width);
      // What is measured on a few rows is averaged; here all rows are among the few, but for the Gram matrices.
      const mergeable = ([name]: [SiteMetricName, number]) => !/_rms$|effective|max_median/.test(name);
      expectMetrics(merged.metrics, expectedOf(activationFormulas, matrix).filter(mergeable));
      expectMetrics(merged.metrics, expectedOf(gradientFormulas, matrix));
      expectTopNeurons(merged.topNeurons, matrix);
    });
  });
}

/** What the authors' code reports; undefined (NaN) where the centred activations are. */
function authorsOf(matrix: Parameters<typeof authorsKurtosis>[0]): number {
  const [, centred] = expectedOf(activationFormulas, matrix).find(([name]) => name === 'kurtosis_centred') ?? [];
  return Number.isNaN(centred) ? Number.NaN : authorsKurtosis(matrix);
}

/** The same neurons in the same order; none where there is no energy, or no finite one. */
function expectTopNeurons(actual: SiteMeasurement['topNeurons'], matrix: Parameters<typeof topNeurons>[0]): void {
  const expected = topNeurons(matrix, 5);
  // A NaN or an Infinity among the values makes every share NaN, or comes first.
  if (!expected.every(({ share }) => Number.isFinite(share))) {
    expect(actual).toEqual([]);
    return;
  }
  expect(actual.map(({ neuron }) => neuron)).toEqual(expected.map(({ index }) => index));
  for (const [place, { share }] of actual.entries()) expectClose(share, expected[place]?.share as number, 'share');
}

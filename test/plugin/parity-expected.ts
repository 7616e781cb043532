// What every metric of a tensor has to be: test/reference, on the rows that are looked at, in float64.

import { sampledRowCount, sampledRows } from '../../plugin/measure/rows.ts';
import type { SiteMetricName, siteMetrics } from '../../src/catalogue.ts';
import type { Matrix, Vector } from '../reference/metrics.ts';
import * as reference from '../reference/metrics.ts';

export type MetricOf<Part extends 'activations' | 'gradients' | 'attention'> = Extract<
  (typeof siteMetrics)[number],
  { of: Part }
>['name'];

type Expected<Name extends SiteMetricName> = Record<Name, (matrix: Matrix) => number>;

/** A formula for every metric of the catalogue: a metric without one does not compile. */
export const activationFormulas: Expected<MetricOf<'activations'>> = {
  kurtosis: reference.kurtosis,
  kurtosis_centred: reference.kurtosisCentred,
  input_correlation: (matrix) => (isSmall(matrix) ? reference.inputCorrelation(matrix) : inputCorrelation(matrix)),
  rms: reference.rms,
  absmax: reference.absmax,
  nonfinite: reference.nonfinite,
  max_median_ratio: (matrix) => reference.maxMedianRatio(some(matrix, sampledRowCount.sample)),
  int8_sqnr: (matrix) => Math.min(noNoise, int8Sqnr(matrix)),
  kurtosis_raw: reference.kurtosisRaw,
  input_correlation_rms: (matrix) => ofGram(matrix, reference.inputCorrelationRms, inputCorrelationRms),
  feature_correlation_rms: (matrix) => ofGram(matrix, reference.featureCorrelationRms, featureCorrelationRms),
  effective_rank: (matrix) => ofGram(matrix, reference.effectiveRank, effectiveRank),
};

export const gradientFormulas: Expected<MetricOf<'gradients'>> = {
  gradient_rms: reference.gradientRms,
  gradient_kurtosis: reference.gradientKurtosis,
  gradient_nonfinite: reference.nonfinite,
};

export const attentionFormulas: Expected<MetricOf<'attention'>> = {
  attention_entropy: (weights) => reference.attentionEntropy(some(weights, sampledRowCount.queries)),
  max_attention_logit: reference.maxAttentionLogit,
};

/**
 * Where the documented result (plugin/measure/metrics.ts) is not what IEEE arithmetic makes of the formula. Everywhere else a
 * NaN or an Infinity of the reference has to be one here too.
 */
export const documented: readonly {
  readonly why: string;
  readonly where: (matrix: Matrix) => boolean;
  /** NaN is the result of these, or of all but these. */
  readonly isNaN: (name: SiteMetricName) => boolean;
}[] = [
  {
    why: 'a value is not finite: every metric but the count of such values is NaN, also absmax and those of a few rows',
    where: (matrix) => reference.nonfinite(matrix) > 0,
    isNaN: (name) => (name in activationFormulas || name in gradientFormulas ? !name.endsWith('nonfinite') : false),
  },
  {
    why: 'each row is constant over the width: what rounding leaves of the centred activations is not measured',
    where: (matrix) => reference.rms(reference.centreRows(matrix)) <= 1e-5 * reference.rms(matrix),
    isNaN: (name) => name === 'kurtosis_centred',
  },
  {
    why: 'every key of every query is masked: there is no largest logit',
    where: (matrix) => reference.maxAttentionLogit(matrix) === Number.NEGATIVE_INFINITY,
    isNaN: (name) => name === 'max_attention_logit',
  },
];

/**
 * Decibels of int8_sqnr that mean "no noise": activations on the grid have Infinity as their ratio, or what float32's rounding
 * of their largest magnitude leaves, above 140 dB.
 */
export const noNoise = 120;

/** Numbers below the smallest normal float32, 1.2e-38, are documented to count as zero where there is nothing larger. */
export function withoutSubnormal(data: Float32Array): Float32Array {
  const isSubnormal = data.every((value) => Math.abs(value) < 2 ** -126);
  return isSubnormal ? new Float32Array(data.length) : data;
}

export function expectedOf<Name extends SiteMetricName>(formulas: Expected<Name>, matrix: Matrix): [Name, number][] {
  const names = Object.keys(formulas) as Name[];
  const exceptions = documented.filter(({ isNaN: concerns, where }) => names.some(concerns) && where(matrix));
  return names.map((name) => {
    const isKnownNaN = exceptions.some(({ isNaN: concerns }) => concerns(name));
    return [name, isKnownNaN ? Number.NaN : formulas[name](matrix)];
  });
}

/** The rows that are looked at. */
function some(matrix: Matrix, count: number): Matrix {
  return Array.from(sampledRows(matrix.length, count), (row) => matrix[row] as number[]);
}

/** The reference rounds with the scale of what it is given; of a few rows, that has to be the scale of the whole tensor. */
function int8Sqnr(matrix: Matrix): number {
  if (matrix.length <= sampledRowCount.sample) return reference.int8Sqnr(matrix);
  const rows = some(matrix, sampledRowCount.sample);
  const absmax = reference.absmax(matrix);
  // One row more, which sets the scale and is rounded without noise; its part of the signal is taken out again.
  const ratio = 10 ** (reference.int8Sqnr([...rows, [absmax]]) / 10);
  const signal = squaresOf(rows);
  return 10 * Math.log10((signal * ratio) / (signal + absmax ** 2));
}

// The reference is slow on purpose. The same sums for large matrices; parity.expected.test.ts compares the two.

function isSmall(matrix: Matrix): boolean {
  const [n, d] = [matrix.length, matrix[0]?.length ?? 0];
  return n * d * (n + d) <= 200_000;
}

function ofGram(matrix: Matrix, slow: (rows: Matrix) => number, fast: (sums: GramSums) => number): number {
  const rows = some(matrix, sampledRowCount.gram);
  return isSmall(rows) ? slow(rows) : fast(gramSums(rows));
}

export function inputCorrelation(matrix: Matrix): number {
  const [n, total, trace] = [matrix.length, new Float64Array(matrix[0]?.length ?? 0), squaresOf(matrix)];
  for (const row of matrix) for (const [j, value] of row.entries()) (total[j] as number) += value;
  return (total.reduce((sum, value) => sum + value ** 2, 0) - trace) / (n * (n - 1)) / (trace / n);
}

/** Of a matrix R [r, d]: sums of the squares of R R^T and of R^T R, off the diagonal and on it, and of R. */
export interface GramSums {
  readonly r: number;
  readonly d: number;
  readonly inputs: number;
  readonly features: number;
  readonly total: number;
  readonly trace: number;
}

/** By their first row: three metrics need the sums of the same rows. */
const known = new WeakMap<Vector, GramSums>();

export function gramSums(rows: Matrix): GramSums {
  const [r, d] = [rows.length, rows[0]?.length ?? 0];
  const before = known.get(rows[0] as Vector);
  if (before !== undefined) return before;
  const columns = Array.from({ length: d }, (_, j) => Float64Array.from(rows, (row) => row[j] as number));
  const features = offDiagonal(columns);
  const diagonal = columns.reduce((sum, column) => sum + dot(column, column) ** 2, 0);
  const sums = {
    r,
    d,
    inputs: offDiagonal(rows.map((row) => Float64Array.from(row))),
    features,
    total: features + diagonal,
    trace: squaresOf(rows),
  };
  known.set(rows[0] as Vector, sums);
  return sums;
}

export function inputCorrelationRms({ r, inputs, trace }: GramSums): number {
  return Math.sqrt(inputs / (r * (r - 1))) / (trace / r);
}

export function featureCorrelationRms({ d, features, trace }: GramSums): number {
  return Math.sqrt(features / (d * (d - 1))) / (trace / d);
}

export function effectiveRank({ total, trace }: GramSums): number {
  return trace ** 2 / total;
}

function offDiagonal(vectors: readonly Float64Array[]): number {
  let sum = 0;
  for (const [a, left] of vectors.entries()) {
    for (let b = 0; b < a; b++) sum += 2 * dot(left, vectors[b] as Float64Array) ** 2;
  }
  return sum;
}

function dot(left: Float64Array, right: Float64Array): number {
  let sum = 0;
  for (let index = 0; index < left.length; index++) sum += (left[index] as number) * (right[index] as number);
  return sum;
}

function squaresOf(matrix: Matrix): number {
  let sum = 0;
  for (const row of matrix) for (const value of row) sum += value * value;
  return sum;
}

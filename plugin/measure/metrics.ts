/**
 * From a site's summaries to its metrics: pure, on the host, in float64. Formulas are those of src/catalogue.ts.
 *
 * Several summaries of one site in one step (gradient accumulation, several forward passes) count as the rows of one. The
 * max_median_ratio and the metrics of Gram matrices, which are measured on a few rows, are averaged over them by rows.
 *
 * Documented edges (those of attention: attention.ts). Where nothing is said, IEEE arithmetic makes the number of the formula.
 * - A NaN or an infinite value: every metric of that tensor is NaN but the count of such values, and no neuron is listed.
 * - All zero: rms and absmax are 0, ratios are NaN.
 * - Ratios do not depend on the magnitude, from 1e-33 to 3e38. Numbers below 1.2e-38, the smallest normal float32, count as
 *   zero where there is nothing larger, and on some backends everywhere.
 * - All equal: kurtosis, correlations and effective rank are 1.
 * - Each row constant over the width, up to rounding (the centred rms below 1e-5 of the rms): kurtosis_centred is NaN.
 * - A single row: input_correlation and input_correlation_rms are NaN. A single neuron: kurtosis is 1, kurtosis_centred and
 *   feature_correlation_rms are NaN.
 * - A row with at least half its activations 0: max_median_ratio is Infinity, or NaN where the whole row is 0.
 * - Activations on the grid of int8 (all of one magnitude, say): int8_sqnr is Infinity, or above 120 dB by float32's rounding.
 */
import type { SiteMetricName } from '../../src/catalogue.ts';
import { effectiveRank, featureCorrelationRms, gramSums, inputCorrelationRms } from './gram-metrics.ts';
import type { Summary } from './layout.ts';
import { int8NoiseOfRows, maxMedianRatioOfRows } from './whole-rows.ts';

export type SiteMetrics = Partial<Record<SiteMetricName, number>>;

/** One of the most energetic neurons. */
export interface TopNeuron {
  readonly neuron: number;
  /** s_j^2 / sum_j s_j^2, from 0 to 1. */
  readonly share: number;
}

/** What was seen of one tensor in one step. */
export interface Seen {
  readonly summaries: readonly Summary[];
  /** NaN and infinite values. */
  readonly nonfinite: number;
}

/** The activation metrics of a site. */
export function measureActivations({ summaries, nonfinite }: Seen): SiteMetrics {
  const { rows, squares, means, centredSquares, fourthPowers, absmax } = merge(summaries);
  const energy = mean(squares); // mean(X^2)
  const metrics = {
    kurtosis: kurtosis(squares),
    rms: Math.sqrt(energy),
    absmax,
    ...(means !== undefined && { input_correlation: inputCorrelation(rows, means, squares, energy) }),
    ...(centredSquares !== undefined && { kurtosis_centred: kurtosisCentred(centredSquares, energy) }),
    ...(fourthPowers !== undefined && { kurtosis_raw: mean(fourthPowers) / energy ** 2 }),
    ...(summaries.every(({ sampleRows }) => sampleRows > 0) && {
      max_median_ratio: weighted(summaries, maxMedianRatioOfRows),
      int8_sqnr: int8Sqnr(summaries, absmax),
    }),
    ...(summaries.every(({ gramRows }) => gramRows > 0) && gramMetrics(summaries)),
  };
  return { ...(nonfinite > 0 ? unknown(metrics) : metrics), nonfinite };
}

/** The gradient metrics of a site. */
export function measureGradients({ summaries, nonfinite }: Seen): SiteMetrics {
  const { squares } = merge(summaries);
  const metrics = { gradient_rms: Math.sqrt(mean(squares)), gradient_kurtosis: kurtosis(squares) };
  return { ...(nonfinite > 0 ? unknown(metrics) : metrics), gradient_nonfinite: nonfinite };
}

/** NaN for each: what a value that is not finite makes of the others differs from backend to backend. */
function unknown(metrics: SiteMetrics): SiteMetrics {
  return Object.fromEntries(Object.keys(metrics).map((name) => [name, Number.NaN]));
}

/** The neurons with the largest shares of a site's energy, largest first. Empty when the energy is 0, or a value not finite. */
export function topNeurons({ summaries, nonfinite }: Seen, count: number): TopNeuron[] {
  if (nonfinite > 0) return [];
  const { squares } = merge(summaries);
  let total = 0;
  for (const square of squares) total += square;
  if (!(total > 0 && total < Number.POSITIVE_INFINITY)) return [];
  const top: TopNeuron[] = [];
  for (let neuron = 0; neuron < squares.length && count > 0; neuron++) {
    const share = (squares[neuron] as number) / total;
    if (top.length === count && share <= (top[count - 1] as TopNeuron).share) continue;
    const place = top.findIndex((other) => share > other.share);
    top.splice(place === -1 ? top.length : place, 0, { neuron, share });
    if (top.length > count) top.pop();
  }
  return top;
}

/** Column moments in units of the activations; the optional ones are undefined where they were not computed. */
interface Moments {
  readonly rows: number;
  readonly squares: Float64Array;
  readonly means: Float64Array | undefined;
  readonly centredSquares: Float64Array | undefined;
  readonly fourthPowers: Float64Array | undefined;
  readonly absmax: number;
}

function merge(summaries: readonly Summary[]): Moments {
  const width = summaries[0]?.width ?? 0;
  const rows = summaries.reduce((total, summary) => total + summary.rows, 0);
  const average = (piece: 'squares' | 'means' | 'centredSquares' | 'fourthPowers', power: number) => {
    if (summaries.some((summary) => summary[piece].length === 0)) return undefined;
    const merged = new Float64Array(width);
    for (const summary of summaries) {
      const weight = summary.rows / rows / summary.scale ** power;
      for (let j = 0; j < width; j++) (merged[j] as number) += weight * (summary[piece][j] as number);
    }
    return merged;
  };
  const squares = average('squares', 2) ?? new Float64Array(width);
  const largest = summaries.map(({ largestSquare, scale }) => Math.sqrt(largestSquare[0] as number) / scale);
  return {
    rows,
    squares,
    means: average('means', 1),
    centredSquares: average('centredSquares', 2),
    fourthPowers: average('fourthPowers', 4),
    absmax: Math.max(...largest),
  };
}

/** He et al., Eq. 1, from s_j^2: mean_j(s_j^4) / mean_j(s_j^2)^2. Scaled by the largest first, so that no power overflows. */
function kurtosis(squares: Float64Array): number {
  let largest = 0;
  for (const square of squares) largest = Math.max(largest, square);
  let second = 0;
  let fourth = 0;
  for (const square of squares) {
    const relative = square / largest;
    second += relative;
    fourth += relative * relative;
  }
  return (fourth * squares.length) / (second * second);
}

/** Eq. 1 of the centred activations; NaN where centring leaves no more of them than rounding does. */
function kurtosisCentred(centredSquares: Float64Array, energy: number): number {
  return mean(centredSquares) > 1e-10 * energy ? kurtosis(centredSquares) : Number.NaN;
}

/** sum over a != b of <x_a, x_b> = |sum_a x_a|^2 - sum_a |x_a|^2, so no Gram matrix is needed. */
function inputCorrelation(n: number, means: Float64Array, squares: Float64Array, energy: number): number {
  if (n < 2) return Number.NaN;
  let gap = 0; // sum over neurons of mean^2 - s_j^2 / n, where it cancels least
  for (let j = 0; j < means.length; j++) gap += (means[j] as number) ** 2 - (squares[j] as number) / n;
  return ((gap / means.length) * n) / ((n - 1) * energy);
}

/** Signal to noise of rounding the sampled rows to int8 with the scale of the whole tensor, in dB. */
function int8Sqnr(summaries: readonly Summary[], absmax: number): number {
  let signal = 0;
  let noise = 0;
  for (const summary of summaries) {
    const part = int8NoiseOfRows(summary.sample, absmax * summary.scale);
    signal += part.signal / summary.scale ** 2;
    noise += part.noise / summary.scale ** 2;
  }
  return 10 * Math.log10(signal / noise);
}

/** Of several summaries the mean, by rows. */
function gramMetrics(summaries: readonly Summary[]): SiteMetrics {
  const sums = summaries.map((summary) => ({ ...gramSums(summary), rows: summary.rows }));
  return {
    input_correlation_rms: weighted(sums, inputCorrelationRms),
    feature_correlation_rms: weighted(sums, featureCorrelationRms),
    effective_rank: weighted(sums, effectiveRank),
  };
}

function weighted<Part extends { readonly rows: number }>(
  parts: readonly Part[],
  measure: (part: Part) => number,
): number {
  const rows = parts.reduce((total, part) => total + part.rows, 0);
  return parts.reduce((sum, part) => sum + (measure(part) * part.rows) / rows, 0);
}

function mean(values: Float64Array): number {
  let sum = 0;
  for (const value of values) sum += value;
  return sum / values.length;
}

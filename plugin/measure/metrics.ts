/**
 * From a site's summaries to its metrics: pure, on the host, in float64. Formulas are those of src/catalogue.ts.
 *
 * Several summaries of one site in one step (gradient accumulation, several forward passes) count as the rows of one.
 * Documented edges: where all activations are zero, rms and absmax are 0 and ratios are NaN; with a non-finite activation
 * every metric but `nonfinite` is NaN; with a single row input_correlation is NaN.
 */
import type { SiteMetricName } from '../../src/catalogue.ts';
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
  return {
    kurtosis: kurtosis(squares),
    rms: Math.sqrt(energy),
    absmax,
    nonfinite,
    ...(means !== undefined && { input_correlation: inputCorrelation(rows, means, squares, energy) }),
    ...(centredSquares !== undefined && { kurtosis_centred: kurtosis(centredSquares) }),
    ...(fourthPowers !== undefined && { kurtosis_raw: mean(fourthPowers) / energy ** 2 }),
    ...(summaries.every(({ sampleRows }) => sampleRows > 0) && {
      max_median_ratio: weighted(summaries, maxMedianRatioOfRows),
      int8_sqnr: int8Sqnr(summaries, absmax),
    }),
    ...(summaries.every(({ gramRows }) => gramRows > 0) && gramMetrics(summaries)),
  };
}

/** The gradient metrics of a site. */
export function measureGradients({ summaries, nonfinite }: Seen): SiteMetrics {
  const { squares } = merge(summaries);
  return {
    gradient_rms: Math.sqrt(mean(squares)),
    gradient_kurtosis: kurtosis(squares),
    gradient_nonfinite: nonfinite,
  };
}

/** The neurons with the largest shares of a site's energy, largest first. Empty when the energy is 0 or not finite. */
export function topNeurons({ summaries }: Seen, count: number): TopNeuron[] {
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
  const finite = squares.every(Number.isFinite);
  const largest = summaries.map(({ largestSquare, scale }) => Math.sqrt(largestSquare[0] as number) / scale);
  return {
    rows,
    squares,
    means: average('means', 1),
    centredSquares: average('centredSquares', 2),
    fourthPowers: average('fourthPowers', 4),
    // Backends differ in what the maximum of values with a NaN among them is.
    absmax: finite ? Math.max(...largest) : Number.NaN,
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

/** sum over a != b of <x_a, x_b> = |sum_a x_a|^2 - sum_a |x_a|^2, so no Gram matrix is needed. */
function inputCorrelation(n: number, means: Float64Array, squares: Float64Array, energy: number): number {
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

/** From the sums of squares of Gram matrices (summary.ts), free of scale; of several summaries the mean, by rows. */
function gramMetrics(summaries: readonly Summary[]): SiteMetrics {
  const sums = summaries.map((summary) => ({ ...gramSums(summary), rows: summary.rows }));
  const average = (measure: (sums: GramSums) => number) => weighted(sums, measure);
  return {
    input_correlation_rms: average(({ r, inputs, trace }) => Math.sqrt(inputs / (r * (r - 1))) / (trace / r)),
    feature_correlation_rms: average(({ d, features, trace }) => Math.sqrt(features / (d * (d - 1))) / (trace / d)),
    effective_rank: average(({ trace, total }) => trace ** 2 / total),
  };
}

/** Of R [r, d]: |R R^T|_F^2 in all and without its diagonal, |R^T R|_F^2 without its diagonal, and sum R^2. */
interface GramSums {
  readonly r: number;
  readonly d: number;
  readonly total: number;
  readonly inputs: number;
  readonly features: number;
  readonly trace: number;
}

function gramSums({ gramRows: r, width: d, gram }: Summary): GramSums {
  const [offDiagonal, inputDiagonal, featureDiagonal, trace] = gram as unknown as [number, number, number, number];
  const total = offDiagonal + (r <= d ? inputDiagonal : featureDiagonal);
  return {
    r,
    d,
    total,
    inputs: r <= d ? offDiagonal : Math.max(0, total - inputDiagonal),
    features: r <= d ? Math.max(0, total - featureDiagonal) : offDiagonal,
    trace,
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

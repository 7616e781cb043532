/**
 * From a site's summaries to its metrics: pure, on the host, in float64. Formulas are those of src/catalogue.ts.
 *
 * Several summaries of one site in one step (gradient accumulation, several forward passes) count as the rows of one.
 * Documented edges: without activations but zeros, ratios are NaN and rms and absmax 0; with a non-finite activation every
 * metric but `nonfinite` is NaN; with a single row, input_correlation is NaN.
 */
import type { SiteMetricName } from '../../src/catalogue.ts';
import type { Summary } from './summary.ts';

/** s_j^2 of every neuron, in units of the activations, and what else the metrics need. */
interface Moments {
  readonly rows: number;
  readonly squares: Float64Array;
  readonly means: Float64Array;
  readonly centredSquares: Float64Array;
  readonly absmax: number;
}

/** One neuron of the most energetic. */
export interface TopNeuron {
  readonly neuron: number;
  /** s_j^2 / sum_j s_j^2, from 0 to 1. */
  readonly share: number;
}

export interface SiteMeasurement {
  readonly metrics: Partial<Record<SiteMetricName, number>>;
  readonly topNeurons: readonly TopNeuron[];
}

/** Measures one site from the summaries of its activations in one step. `nonfinite` is their count of NaN and infinite values. */
export function measureActivations(
  summaries: readonly Summary[],
  nonfinite: number,
  topNeurons: number,
): SiteMeasurement {
  const moments = merge(summaries);
  const energy = mean(moments.squares); // mean(X^2)
  const propagation = summaries.every((summary) => summary.propagation);
  const sampled = summaries.some((summary) => summary.sampledRows > 0);
  return {
    metrics: {
      kurtosis: kurtosis(moments.squares),
      rms: Math.sqrt(energy),
      absmax: Number.isNaN(energy) ? Number.NaN : moments.absmax,
      nonfinite,
      ...(propagation && {
        kurtosis_centred: kurtosis(moments.centredSquares),
        input_correlation: inputCorrelation(moments, energy),
      }),
      ...(sampled && { max_median_ratio: maxMedianRatio(summaries) }),
    },
    topNeurons: largest(moments.squares, topNeurons),
  };
}

function merge(summaries: readonly Summary[]): Moments {
  const width = summaries[0]?.width ?? 0;
  const rows = summaries.reduce((total, summary) => total + summary.rows, 0);
  const merged = {
    squares: new Float64Array(width),
    means: new Float64Array(width),
    centredSquares: new Float64Array(width),
  };
  let absmax = 0;
  for (const summary of summaries) {
    const weight = summary.rows / rows;
    for (let j = 0; j < width; j++) {
      (merged.squares[j] as number) += (weight * (summary.squares[j] as number)) / summary.scale ** 2;
      (merged.means[j] as number) += (weight * (summary.means[j] ?? 0)) / summary.scale;
      (merged.centredSquares[j] as number) += (weight * (summary.centredSquares[j] ?? 0)) / summary.scale ** 2;
    }
    absmax = Math.max(absmax, Math.sqrt(summary.largestSquare) / summary.scale);
  }
  return { rows, ...merged, absmax };
}

/** He et al., Eq. 1, from s_j^2: mean_j(s_j^4) / mean_j(s_j^2)^2. */
export function kurtosis(squares: Float64Array): number {
  let second = 0;
  let fourth = 0;
  for (const square of squares) {
    second += square;
    fourth += square * square;
  }
  return (fourth * squares.length) / (second * second);
}

/** sum over a != b of <x_a, x_b> = |sum_a x_a|^2 - sum_a |x_a|^2, so no Gram matrix is needed. */
function inputCorrelation({ rows: n, means, squares }: Moments, energy: number): number {
  let gap = 0; // (|mean_a x_a|^2 - mean_a |x_a|^2 / n) summed neuron by neuron, where it cancels least
  for (let j = 0; j < means.length; j++) gap += (means[j] as number) ** 2 - (squares[j] as number) / n;
  return ((gap / means.length) * n) / ((n - 1) * energy);
}

/** He et al., Eq. 2: mean over rows of max |x| / median |x|, the median being the lower middle value. */
function maxMedianRatio(summaries: readonly Summary[]): number {
  let sum = 0;
  let count = 0;
  for (const { sample, width } of summaries) {
    const row = new Float32Array(width);
    for (let start = 0; start < sample.length; start += width) {
      for (let j = 0; j < width; j++) row[j] = Math.abs(sample[start + j] as number);
      const median = select(row, (width - 1) >> 1);
      let maximum = 0;
      for (const value of row) maximum = Math.max(maximum, value);
      sum += maximum / median;
      count += 1;
    }
  }
  return sum / count;
}

/** The k-th smallest value (from 0); reorders `values`. Hoare's quickselect. */
export function select(values: Float32Array, k: number): number {
  let low = 0;
  let high = values.length - 1;
  while (low < high) {
    const pivot = values[(low + high) >> 1] as number;
    if (Number.isNaN(pivot)) return Number.NaN; // nothing compares with NaN, and with one in it a row has no median
    let i = low;
    let j = high;
    while (i <= j) {
      while ((values[i] as number) < pivot) i++;
      while ((values[j] as number) > pivot) j--;
      if (i <= j) {
        const swap = values[i] as number;
        values[i++] = values[j] as number;
        values[j--] = swap;
      }
    }
    if (k <= j) high = j;
    else if (k >= i) low = i;
    else break;
  }
  return values[k] as number;
}

function largest(squares: Float64Array, count: number): TopNeuron[] {
  let total = 0;
  for (const square of squares) total += square;
  if (!(total > 0 && total < Number.POSITIVE_INFINITY)) return [];
  const top: TopNeuron[] = [];
  for (let neuron = 0; neuron < squares.length; neuron++) {
    const share = (squares[neuron] as number) / total;
    if (top.length === count && share <= (top[count - 1]?.share ?? 0)) continue;
    const place = top.findIndex((other) => share > other.share);
    top.splice(place === -1 ? top.length : place, 0, { neuron, share });
    if (top.length > count) top.pop();
  }
  return top;
}

function mean(values: Float64Array): number {
  let sum = 0;
  for (const value of values) sum += value;
  return sum / values.length;
}

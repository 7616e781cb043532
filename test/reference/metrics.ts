// The metrics once more, written from their definitions alone: plain loops in float64, every Gram matrix in full, a full
// sort for every median. Slow on purpose; what the plugin computes is compared with this. "The paper" is He et al.,
// "Understanding and Minimising Outlier Features in Transformer Training" (arXiv 2405.19279).
//
// X has n rows (batch * tokens) and d columns (neurons). Edge cases are whatever IEEE arithmetic makes of the formula:
// an empty mean is 0/0 = NaN, zeros divided by zeros are NaN, one NaN makes every mean NaN.
//
// Compared by hand with PyTorch 2.13.0 in float64 (torch's own mean, var, median, round, matrix product, singular values
// for the effective rank, special.entr for the entropy): all of `cases` in inputs.ts and one 200 x 96 input with five
// outliers, every metric but maxAttentionLogit. Largest relative difference 1.5e-14 (kurtosisRaw at 200 x 96); every NaN
// and Infinity agreed. The neurons and shares of topNeurons were compared on the finite inputs: 9e-16.

export type Vector = readonly number[];
export type Matrix = readonly Vector[];

export interface NeuronShare {
  index: number;
  share: number;
}

/** Row-major data as a matrix of float64 rows. */
export function toMatrix(data: ArrayLike<number>, rows: number, width: number): Matrix {
  if (data.length !== rows * width) {
    throw new RangeError(`${data.length} values are not ${rows} rows of ${width}`);
  }
  const matrix: number[][] = [];
  for (let row = 0; row < rows; row++) {
    const values: number[] = [];
    for (let column = 0; column < width; column++) {
      values.push(element(data, row * width + column));
    }
    matrix.push(values);
  }
  return matrix;
}

/** X^T. */
export function transpose(matrix: Matrix): Matrix {
  const columns: number[][] = [];
  for (let column = 0; column < widthOf(matrix); column++) {
    const values: number[] = [];
    for (const row of matrix) {
      values.push(element(row, column));
    }
    columns.push(values);
  }
  return columns;
}

/** X X^T in full: the entry (a, b) is <x_a, x_b>. The feature Gram matrix X^T X is gram(transpose(X)). */
export function gram(matrix: Matrix): Matrix {
  return matrix.map((left) => matrix.map((right) => dot(left, right)));
}

/** X minus each row's own mean over the width: X_aj - 1/d sum_i X_ai. The first step of the authors' code. */
export function centreRows(matrix: Matrix): Matrix {
  return matrix.map((row) => {
    const centre = mean(row);
    return row.map((value) => value - centre);
  });
}

/** s_j^2 = 1/n sum_a X_aj^2, one value a neuron (the paper's neuron RMS, squared). */
export function neuronMeanSquares(matrix: Matrix): Vector {
  return transpose(matrix).map((column) => mean(column.map((value) => value * value)));
}

/** Kurtosis, the paper's Eq. 1, uncentred: mean_j(s_j^4) / mean_j(s_j^2)^2. From 1 to d. */
export function kurtosis(matrix: Matrix): number {
  const meanSquares = neuronMeanSquares(matrix);
  return mean(meanSquares.map((value) => value * value)) / mean(meanSquares) ** 2;
}

/** Eq. 1 after subtracting each row's mean over the width (as the authors' code does first). */
export function kurtosisCentred(matrix: Matrix): number {
  return kurtosis(centreRows(matrix));
}

/**
 * What the authors' code reports: X centred over the width, divided by its global RMS, then
 * var_j(s_j^2) = 1/(d-1) sum_j (s_j^2 - mean_i s_i^2)^2, torch's unbiased variance.
 * Equal to (kurtosisCentred - 1) * d/(d-1).
 */
export function authorsKurtosis(matrix: Matrix): number {
  const centred = centreRows(matrix);
  const scale = rms(centred);
  const normalised = centred.map((row) => row.map((value) => value / scale));
  const meanSquares = neuronMeanSquares(normalised);
  const centre = mean(meanSquares);
  return sum(meanSquares.map((value) => (value - centre) ** 2)) / (meanSquares.length - 1);
}

/** E[x^4] / E[x^2]^2 over all single activations: other tools' "activation kurtosis", a different number than Eq. 1. */
export function kurtosisRaw(matrix: Matrix): number {
  const values = matrix.flat();
  return mean(values.map((value) => value ** 4)) / mean(values.map((value) => value * value)) ** 2;
}

/**
 * Max-median ratio, the paper's Eq. 2: mean over rows a of max_j |X_aj| / median_j |X_aj|. The median is torch.median's:
 * of an even width, the lower of the two middle values.
 */
export function maxMedianRatio(matrix: Matrix): number {
  return mean(
    matrix.map((row) => {
      const magnitudes = row.map(Math.abs);
      return maximum(magnitudes) / lowerMedian(magnitudes);
    }),
  );
}

/** Input correlation (the paper's signal propagation): mean over a != b of (X X^T)_ab / (d rms^2). */
export function inputCorrelation(matrix: Matrix): number {
  return mean(inputCorrelationEntries(matrix));
}

/** Root mean square over a != b of (X X^T)_ab / (d rms^2). */
export function inputCorrelationRms(matrix: Matrix): number {
  return rootMeanSquare(inputCorrelationEntries(matrix));
}

/** Root mean square over i != j of (X^T X)_ij / (n rms^2). */
export function featureCorrelationRms(matrix: Matrix): number {
  const scale = matrix.length * meanSquare(matrix);
  return rootMeanSquare(offDiagonal(gram(transpose(matrix))).map((entry) => entry / scale));
}

/**
 * Participation ratio of the eigenvalues of G = X^T X (uncentred): (sum lambda)^2 / sum lambda^2
 * = trace(G)^2 / ||G||_F^2. From 1 (all rows parallel) to min(n, d).
 */
export function effectiveRank(matrix: Matrix): number {
  const features = gram(transpose(matrix));
  const trace = sum(features.map((row, index) => element(row, index)));
  const frobeniusSquared = sum(features.flat().map((entry) => entry * entry));
  return trace ** 2 / frobeniusSquared;
}

/** Root mean square over all entries: sqrt(1/(n d) sum_aj X_aj^2). */
export function rms(matrix: Matrix): number {
  return Math.sqrt(meanSquare(matrix));
}

/** max_aj |X_aj|. Of nothing: -Infinity. */
export function absmax(matrix: Matrix): number {
  return maximum(matrix.flat().map(Math.abs));
}

/**
 * Signal to quantisation noise ratio of symmetric per-tensor int8, in dB: 10 log10(sum x^2 / sum (x - q)^2) with
 * scale = max |x| / 127 and q = scale * clamp(roundHalfToEven(x / scale), -127, 127). Without noise: Infinity. All zeros
 * have scale 0, hence q = 0 * (0/0) = NaN, and the ratio is NaN.
 */
export function int8Sqnr(matrix: Matrix): number {
  const scale = absmax(matrix) / 127;
  let signal = 0;
  let noise = 0;
  for (const value of matrix.flat()) {
    const quantised = scale * Math.max(-127, Math.min(127, roundHalfToEven(value / scale)));
    signal += value ** 2;
    noise += (value - quantised) ** 2;
  }
  return 10 * Math.log10(signal / noise);
}

/** How many entries are NaN, Infinity or -Infinity. */
export function nonfinite(matrix: Matrix): number {
  return matrix.flat().filter((value) => !Number.isFinite(value)).length;
}

/** Root mean square of a gradient matrix (n rows, d columns like the activations it belongs to). */
export function gradientRms(gradient: Matrix): number {
  return rms(gradient);
}

/** Eq. 1 of a gradient matrix: mean_j(s_j^4) / mean_j(s_j^2)^2 with s_j the RMS of the gradient's column j. */
export function gradientKurtosis(gradient: Matrix): number {
  return kurtosis(gradient);
}

/** Mean over queries of -sum_k p_k ln p_k, in nats, with 0 ln 0 = 0. One row a query (of every head and sequence). */
export function attentionEntropy(probabilities: Matrix): number {
  return mean(
    probabilities.map(
      (row) => -sum(row.map((probability) => (probability === 0 ? 0 : probability * Math.log(probability)))),
    ),
  );
}

/** The largest logit that is not masked; masked are -Infinity and all at or below -1e8. All masked: -Infinity. */
export function maxAttentionLogit(logits: Matrix): number {
  return maximum(logits.flat().filter((logit) => !(logit <= -1e8)));
}

/**
 * The k neurons with the largest s_j^2, largest first, each with its share s_j^2 / sum_i s_i^2. Among equals the lower
 * index comes first; a NaN counts as larger than all numbers. Fewer than k if there are fewer neurons.
 */
export function topNeurons(matrix: Matrix, k: number): NeuronShare[] {
  const meanSquares = neuronMeanSquares(matrix);
  const total = sum(meanSquares);
  const order = meanSquares.map((value, index) => ({
    value: Number.isNaN(value) ? Number.POSITIVE_INFINITY : value,
    index,
  }));
  order.sort((left, right) => {
    if (left.value === right.value) {
      return left.index - right.index;
    }
    return left.value > right.value ? -1 : 1;
  });
  return order.slice(0, k).map(({ index }) => ({ index, share: element(meanSquares, index) / total }));
}

/** (X X^T)_ab / (d rms^2) for all a != b. */
function inputCorrelationEntries(matrix: Matrix): Vector {
  const scale = widthOf(matrix) * meanSquare(matrix);
  return offDiagonal(gram(matrix)).map((entry) => entry / scale);
}

/** rms^2 = mean of X_aj^2. */
function meanSquare(matrix: Matrix): number {
  return mean(matrix.flat().map((value) => value * value));
}

function rootMeanSquare(values: Vector): number {
  return Math.sqrt(mean(values.map((value) => value * value)));
}

function offDiagonal(square: Matrix): Vector {
  return square.flatMap((row, rowIndex) => row.filter((_, columnIndex) => columnIndex !== rowIndex));
}

/** The value with floor((d-1)/2) smaller or equal ones before it in ascending order; NaN if there is any. */
function lowerMedian(values: Vector): number {
  if (values.some(Number.isNaN)) {
    return Number.NaN;
  }
  const sorted = Float64Array.from(values).sort();
  return element(sorted, Math.floor((sorted.length - 1) / 2));
}

/** To the nearest integer, and from exactly between two to the even one. */
function roundHalfToEven(value: number): number {
  const below = Math.floor(value);
  const fraction = value - below;
  if (fraction < 0.5) {
    return below;
  }
  if (fraction > 0.5) {
    return below + 1;
  }
  if (fraction === 0.5) {
    return below % 2 === 0 ? below : below + 1;
  }
  return Number.NaN; // NaN or infinite
}

function dot(left: Vector, right: Vector): number {
  return sum(left.map((value, index) => value * element(right, index)));
}

function sum(values: Vector): number {
  let total = 0;
  for (const value of values) {
    total += value;
  }
  return total;
}

function mean(values: Vector): number {
  return sum(values) / values.length;
}

/** Math.max of all: NaN if there is any, -Infinity of nothing. */
function maximum(values: Vector): number {
  let largest = Number.NEGATIVE_INFINITY;
  for (const value of values) {
    largest = Math.max(largest, value);
  }
  return largest;
}

function widthOf(matrix: Matrix): number {
  return matrix[0]?.length ?? 0;
}

function element(values: ArrayLike<number>, index: number): number {
  const value = values[index];
  if (value === undefined) {
    throw new RangeError(`no element ${index} among ${values.length}`);
  }
  return value;
}

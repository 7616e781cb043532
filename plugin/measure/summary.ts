/**
 * What is computed on the device: a site's activations are reduced to a few vectors, from which every metric follows on
 * the host in float64 (metrics.ts). O(n d) work, no sort, nothing that waits for the device; a Gram matrix only in the
 * full group, and there of the smaller side of a few rows.
 *
 * Matrix products with a row of ones take the place of column sums: they make no temporary and are the fastest column
 * reduction on every backend; and (x - mean)^2 is one kernel. Everything stays rank 2, [1, k], so that one concat joins it.
 */
import * as tf from '@tensorflow/tfjs-core';
import { type PieceName, pieceLengths, type SummaryLayout } from './layout.ts';
import { sampledRows } from './rows.ts';

/**
 * Reduces activations X [..., d] to a vector [1, summaryLength(layout)]. Call it within `tf.customGrad` so that nothing is
 * taped. `scale` multiplies X first: 1 but for activations whose squares leave the range of float32.
 */
export function summarise(x: tf.Tensor, layout: SummaryLayout, scale = 1): tf.Tensor2D {
  return tf.tidy(() => {
    const { rows: n, width: d } = layout;
    const flat = tf.reshape(x.dtype === 'float32' ? x : tf.cast(x, 'float32'), [n, d]);
    const matrix = (scale === 1 ? flat : tf.mul(flat, scale)) as tf.Tensor2D; // [n, d]
    const squares = tf.square(matrix);
    const pieces: Record<PieceName, () => tf.Tensor[]> = {
      largestSquare: () => [tf.max(squares, [0, 1], true)],
      squares: () => [columnMeans(squares)],
      means: () => [columnMeans(matrix)],
      centredSquares: () => [columnMeans(tf.squaredDifference(matrix, rowMeans(matrix)))],
      fourthPowers: () => [columnMeans(tf.square(squares))],
      gram: () => gramPieces(rowsOf(matrix, layout.gramRows)),
      sample: () => [tf.reshape(rowsOf(matrix, layout.sampleRows), [1, -1])],
    };
    return tf.concat(
      pieceLengths(layout).flatMap(([name]) => pieces[name]() as tf.Tensor2D[]),
      1,
    );
  });
}

/** Number of NaN and infinite values of a tensor, as a scalar. */
export function countNonfinite(x: tf.Tensor): tf.Scalar {
  return tf.tidy(() => tf.sum(tf.cast(tf.logicalNot(tf.isFinite(x)), 'int32')));
}

/**
 * [1, d]: means over the rows of a matrix. Long columns in two steps, since backends that add one by one (WebAssembly)
 * lose a digit for each factor of ten in length.
 */
function columnMeans(matrix: tf.Tensor2D): tf.Tensor2D {
  const [n, d] = matrix.shape;
  if (tf.getBackend() !== 'wasm' || n <= chunk || n % chunk !== 0) return tf.matMul(filled([1, n], 1 / n), matrix);
  const chunks = n / chunk;
  const partial = tf.matMul(tf.fill([chunks, 1, chunk], 1 / chunk), tf.reshape(matrix, [chunks, chunk, d])); // [chunks, 1, d]
  return columnMeans(tf.reshape(partial, [chunks, d]));
}

const chunk = 64;

/** [n, 1]: means over the columns of a matrix. */
function rowMeans(matrix: tf.Tensor2D): tf.Tensor2D {
  const d = matrix.shape[1];
  return tf.matMul(matrix, filled([d, 1], 1 / d));
}

function filled(shape: [number, number], value: number): tf.Tensor2D {
  return tf.fill(shape, value) as tf.Tensor2D;
}

function rowsOf(matrix: tf.Tensor2D, count: number): tf.Tensor2D {
  const n = matrix.shape[0];
  return count === n ? matrix : tf.gather(matrix, sampledRows(n, count));
}

/**
 * Of rows R [r, d]: the sum of squares of the Gram matrix of its smaller side off the diagonal, and of the diagonals of
 * both sides, and of all. Since |R R^T|_F = |R^T R|_F, the larger side's off-diagonal sum follows. Four of [1, 1].
 */
function gramPieces(rows: tf.Tensor2D): tf.Tensor[] {
  const [r, d] = rows.shape;
  const gram = r <= d ? tf.matMul(rows, rows, false, true) : tf.matMul(rows, rows, true, false);
  const offDiagonal = tf.mul(gram, tf.sub(1, tf.eye(Math.min(r, d))));
  const squares = tf.square(rows);
  // In two steps: one long sum loses digits on WebAssembly.
  const sum = (x: tf.Tensor) => tf.reshape(tf.sum(tf.sum(x, -1)), [1, 1]);
  const ofInputs = tf.sum(squares, 1, true); // [r, 1]: the diagonal of R R^T
  const ofFeatures = tf.sum(squares, 0, true); // [1, d]: the diagonal of R^T R
  return [sum(tf.square(offDiagonal)), sum(tf.square(ofInputs)), sum(tf.square(ofFeatures)), sum(ofInputs)];
}

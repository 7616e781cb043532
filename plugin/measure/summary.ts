/**
 * What is computed on the device: a site's activations are reduced to a few vectors, from which every metric follows on
 * the host in float64 (metrics.ts). O(n d) work, no sort, nothing that waits for the device; a Gram matrix only in the
 * full group, and there of the smaller side of a few rows.
 *
 * Everything stays rank 2, [1, k], so that one concat joins it.
 */
import * as tf from '@tensorflow/tfjs-core';
import { gramPieces } from './gram.ts';
import { type PieceName, pieceLengths, type SummaryLayout } from './layout.ts';
import { columnMeans, rowMeans } from './means.ts';
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
      // (x - mean)^2 is one kernel.
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

function rowsOf(matrix: tf.Tensor2D, count: number): tf.Tensor2D {
  const n = matrix.shape[0];
  return count === n ? matrix : tf.gather(matrix, sampledRows(n, count));
}

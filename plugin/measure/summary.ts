/**
 * What is computed on a device: activations are reduced to a few vectors, from which every metric follows on the host in float64
 * (metrics.ts). O(n d) work, no sort, nothing that waits for the device; a Gram matrix only in the full group, and there of
 * the smaller side of a few rows. Tensors of one shape are reduced together: a leading axis S runs over them.
 */
import * as tf from '@tensorflow/tfjs-core';
import { gramPieces } from './gram.ts';
import { type PieceName, pieceLengths, type SummaryLayout } from './layout.ts';
import { columnMeans, rowMeans } from './means.ts';
import { sampledRows } from './rows.ts';

/**
 * Reduces S tensors [..., d] of one layout to [S, summaryLength(layout)]. Call it where nothing is taped. `scale` multiplies
 * them first: 1 but for activations whose squares leave the range of float32.
 */
export function summarise(tensors: readonly tf.Tensor[], layout: SummaryLayout, scale = 1): tf.Tensor2D {
  return tf.tidy(() => {
    const { rows: n, width: d, gramRows, sampleRows } = layout;
    const flat = tensors.map((x) => tf.reshape(x, [1, n, d]) as tf.Tensor3D);
    const stacked = flat.length === 1 ? (flat[0] as tf.Tensor3D) : tf.concat(flat, 0);
    const matrices = (scale === 1 ? stacked : tf.mul(stacked, scale)) as tf.Tensor3D; // [S, n, d]
    const squares = tf.square(matrices);
    const pieces: Record<PieceName, () => tf.Tensor> = {
      largestSquare: () => tf.max(squares, [1, 2]),
      squares: () => columnMeans(squares),
      means: () => columnMeans(matrices),
      // (x - mean)^2 is one kernel.
      centredSquares: () => columnMeans(tf.squaredDifference(matrices, rowMeans(matrices))),
      fourthPowers: () => columnMeans(tf.square(squares)),
      gram: () => tf.concat(tf.unstack(rowsOf(matrices, gramRows)).map((rows) => gramOf(rows as tf.Tensor2D))),
      sample: () => rowsOf(matrices, sampleRows),
    };
    const parts = pieceLengths(layout).map(([name]) => tf.reshape(pieces[name](), [tensors.length, -1]));
    return tf.concat(parts as tf.Tensor2D[], 1);
  });
}

/** Number of NaN and infinite values of a tensor, as a scalar. */
export function countNonfinite(x: tf.Tensor): tf.Scalar {
  return tf.tidy(() => tf.sum(tf.cast(tf.logicalNot(tf.isFinite(x)), 'int32')));
}

/** [S, count, d] */
function rowsOf(matrices: tf.Tensor3D, count: number): tf.Tensor3D {
  const n = matrices.shape[1];
  return count === n ? matrices : tf.gather(matrices, sampledRows(n, count), 1);
}

/** [1, k] */
function gramOf(rows: tf.Tensor2D): tf.Tensor2D {
  return tf.concat(gramPieces(rows) as tf.Tensor2D[], 1);
}

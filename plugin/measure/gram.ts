/**
 * Both Gram matrices of a few rows, R R^T and R^T R, at the cost of the smaller one: |R R^T|_F = |R^T R|_F, so the larger
 * one's sum of squares off its diagonal is the smaller one's norm without the larger one's diagonal.
 *
 * That difference cancels where a few long vectors (massive neurons, or the first token) hold nearly everything. So the
 * longest ones are set apart and multiplied with all others; only what is left is got by the difference.
 */
import * as tf from '@tensorflow/tfjs-core';
import { gramPieceLengths } from './layout.ts';

/** Of rows R [r, d], the pieces that `gramPieceLengths` lists, each [1, length]; gram-metrics.ts makes numbers of them. */
export function gramPieces(rows: tf.Tensor2D): tf.Tensor2D[] {
  const [r, d] = rows.shape;
  const { longer, apart } = gramPieceLengths(r, d);
  // The vectors of the longer side, as columns: neurons, or rows if there are more of those. m <= k.
  const vectors = (r <= d ? rows : tf.transpose(rows)) as tf.Tensor2D; // [m, k]
  const energies = tf.sum<tf.Tensor1D>(tf.square(vectors), 0); // [k]
  const { values, indices } = tf.topk<tf.Tensor1D>(energies, apart); // [t], [t]
  const isLongest = indicator(indices, longer); // [t, k]
  const isOther = tf.sub(1, tf.sum(isLongest, 0, true)); // [1, k]
  const longest = tf.gather(vectors, indices, 1); // [m, t]
  const others = tf.mul(vectors, isOther) as tf.Tensor2D; // [m, k]

  const ofOthers = tf.matMul(others, others, false, true); // [m, m]
  const gram = tf.add(ofOthers, tf.matMul(longest, longest, false, true)) as tf.Tensor2D; // [m, m]
  // The longest with each other count once, with the others twice, since the matrix is symmetric.
  const products = tf.mul(tf.matMul(longest, vectors, true), tf.sub(1, isLongest)); // [t, k]
  const weighted = tf.mul(tf.square(products), tf.add(1, isOther)); // [t, k]
  const offDiagonal = tf.sub(1, indicator(tf.range(0, gram.shape[0], 1, 'int32'), gram.shape[0])); // [m, m]
  return [
    tf.sum(tf.square(tf.mul(gram, offDiagonal)), 1),
    tf.sum(tf.square(ofOthers), 1),
    tf.mul(energies, isOther),
    values,
    tf.sum(weighted, 1),
  ].map((piece) => tf.reshape(piece, [1, -1]));
}

/** [t, k]: a 1 in each row, at its index. tf.oneHot needs two places, and on WebAssembly gives whole numbers only. */
function indicator(indices: tf.Tensor1D, k: number): tf.Tensor2D {
  return k === 1 ? tf.ones([1, 1]) : tf.cast(tf.oneHot(indices, k) as tf.Tensor2D, 'float32');
}

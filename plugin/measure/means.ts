/**
 * Means over an axis of matrices, fast and to six digits on every backend. A mean over rows is a matrix product with a row of
 * 1/n: it makes no temporary. Backends add such products up one by one, which loses a digit for each factor of ten in length
 * beyond some, so that long sums are made of short ones.
 */
import * as tf from '@tensorflow/tfjs-core';

/** How many rows of a long matrix are put side by side. */
const chunk = 64;

/** As many as may be added up at once: WebAssembly uses a single sum, TensorFlow and plain JavaScript several. */
function mostAtOnce(): number {
  return tf.getBackend() === 'wasm' ? chunk : 2048;
}

/** [S, 1, d]: sums over the rows of matrices [S, n, d], divided by `divisor`. */
export function columnMeans(matrices: tf.Tensor3D, divisor = matrices.shape[1]): tf.Tensor3D {
  const [s, n, d] = matrices.shape;
  if (n <= mostAtOnce()) return tf.matMul(filled([s, 1, n], 1 / divisor), matrices);
  const missing = -n & (chunk - 1);
  const whole =
    missing === 0
      ? matrices
      : tf.pad(matrices, [
          [0, 0],
          [0, missing],
          [0, 0],
        ]);
  const sideBySide = tf.reshape(whole, [s, (n + missing) / chunk, chunk * d]) as tf.Tensor3D;
  const partial = tf.reshape(columnMeans(sideBySide, divisor / chunk), [s, chunk, d]) as tf.Tensor3D;
  return tf.matMul(filled([s, 1, chunk], 1 / chunk), partial);
}

/** [S, n, 1]: means over the columns of matrices [S, n, d]. */
export function rowMeans(matrices: tf.Tensor3D): tf.Tensor3D {
  const [s, n, d] = matrices.shape;
  if (tf.getBackend() !== 'wasm') return tf.mean(matrices, 2, true);
  return tf.reshape(rowSums(tf.reshape(matrices, [s * n, d]), d), [s, n, 1]);
}

/** [n, 1]: sums over the columns of a matrix, divided by `divisor`. */
function rowSums(matrix: tf.Tensor2D, divisor: number): tf.Tensor2D {
  const [n, d] = matrix.shape;
  if (d <= chunk) return tf.matMul(matrix, filled([d, 1], 1 / divisor));
  const missing = -d & (chunk - 1);
  const whole =
    missing === 0
      ? matrix
      : tf.pad(matrix, [
          [0, 0],
          [0, missing],
        ]);
  const partial = tf.matMul(tf.reshape(whole, [-1, chunk]) as tf.Tensor2D, filled([chunk, 1], 1 / chunk));
  return rowSums(tf.reshape(partial, [n, (d + missing) / chunk]) as tf.Tensor2D, divisor / chunk);
}

function filled<T extends tf.Tensor>(shape: number[], value: number): T {
  return tf.fill(shape, value) as T;
}

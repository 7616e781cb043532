/**
 * Means over an axis of a matrix, fast and to six digits on every backend. A mean over rows is a matrix product with a row of
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

/** [1, d]: sums over the rows of a matrix [n, d], divided by `divisor`. */
export function columnMeans(matrix: tf.Tensor2D, divisor = matrix.shape[0]): tf.Tensor2D {
  const [n, d] = matrix.shape;
  if (n <= mostAtOnce()) return tf.matMul(filled([1, n], 1 / divisor), matrix);
  const missing = -n & (chunk - 1);
  const whole =
    missing === 0
      ? matrix
      : tf.pad(matrix, [
          [0, missing],
          [0, 0],
        ]);
  const sideBySide = tf.reshape(whole, [(n + missing) / chunk, chunk * d]);
  const partial = tf.reshape(columnMeans(sideBySide as tf.Tensor2D, divisor / chunk), [chunk, d]);
  return tf.matMul(filled([1, chunk], 1 / chunk), partial as tf.Tensor2D);
}

/** [n, 1]: means over the columns of a matrix [n, d]. */
export function rowMeans(matrix: tf.Tensor2D): tf.Tensor2D {
  return tf.getBackend() === 'wasm' ? rowSums(matrix, matrix.shape[1]) : tf.mean(matrix, 1, true);
}

/** [n, 1]: sums over the columns, divided by `divisor`. */
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

function filled(shape: [number, number], value: number): tf.Tensor2D {
  return tf.fill(shape, value) as tf.Tensor2D;
}

import * as tf from '@tensorflow/tfjs-core';

/**
 * Scales gradients down together so that their global norm is at most `limit`. Pascanu et al., arXiv 1211.5063.
 * Scalars stay on the device. The caller owns what is returned.
 */
export function clipByGlobalNorm(
  gradients: readonly tf.Tensor[],
  limit: number,
): { clipped: tf.Tensor[]; norm: tf.Scalar } {
  return tf.tidy(() => {
    const norm = tf.sqrt(tf.addN(gradients.map((gradient) => tf.sum(tf.square(gradient))))) as tf.Scalar;
    const scale = tf.minimum(1, tf.div(limit, tf.add(norm, 1e-6)));
    return { clipped: gradients.map((gradient) => tf.mul(gradient, scale)), norm };
  });
}

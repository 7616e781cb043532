/** `outlierscope/quantize`: what int8 takes away from a tensor. Symmetric, one scale for the tensor, as outliers hurt it most. */
import * as tf from '@tensorflow/tfjs-core';

/**
 * Rounds to int8 and back: scale * round(x / scale) with scale = max |x| / 127, half to even. A new tensor of the same shape,
 * the caller's. Zeros stay zeros; with a value that is not finite the result is NaN.
 */
export function int8RoundTrip<T extends tf.Tensor>(x: T): T {
  return tf.tidy(() => {
    const scale = tf.div(tf.max(tf.abs(x)), 127);
    // An all-zero tensor has no scale; any will do for it.
    const safe = tf.where(tf.equal(scale, 0), tf.onesLike(scale), scale);
    return tf.mul(tf.round(tf.div(x, safe)), safe) as T;
  });
}

/** 10 log10(sum x^2 / sum (x - y)^2), in dB; Infinity where y equals x. In float64 on the host. */
export function signalToNoise(x: tf.Tensor, y: tf.Tensor): number {
  const [signal, copy] = [x.dataSync(), y.dataSync()];
  let power = 0;
  let noise = 0;
  for (let index = 0; index < signal.length; index++) {
    const value = signal[index] as number;
    power += value * value;
    noise += (value - (copy[index] as number)) ** 2;
  }
  return 10 * Math.log10(power / noise);
}

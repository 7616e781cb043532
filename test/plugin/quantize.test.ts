import * as tf from '@tensorflow/tfjs-core';
import { int8RoundTrip, signalToNoise } from 'outlierscope/quantize';
import { expect, test } from 'vitest';
import { random, withOutliers } from '../reference/inputs.ts';
import { int8Sqnr, toMatrix } from '../reference/metrics.ts';
import { describeNative } from '../support/native.ts';

describeNative('int8 round trip', () => {
  test('loses as much as the definition says, and more where there are outliers', () => {
    const before = tf.memory().numTensors;
    const noises = [random(64, 32), withOutliers(64, 32)].map((data) => {
      const x = tf.tensor2d(data, [64, 32]);
      const y = int8RoundTrip(x);
      const measured = signalToNoise(x, y);
      tf.dispose([x, y]);
      expect(measured).toBeCloseTo(int8Sqnr(toMatrix(data, 64, 32)), 3);
      return measured;
    });
    expect(noises[0]).toBeGreaterThan(35);
    expect(noises[1]).toBeLessThan((noises[0] as number) - 3);
    expect(tf.memory().numTensors).toBe(before);
  });

  test('gives 255 steps at most, keeps zeros, and is exact on the grid', () => {
    const values = tf.tidy(() => int8RoundTrip(tf.linspace(-3, 3, 10_000)).dataSync());
    expect(new Set(values).size).toBe(255);
    expect(Array.from(tf.tidy(() => int8RoundTrip(tf.zeros([4])).dataSync()))).toEqual([0, 0, 0, 0]);
    expect(Array.from(tf.tidy(() => int8RoundTrip(tf.tensor1d([127, -64, 0.5, 1.5])).dataSync()))).toEqual([
      127, -64, 0, 2,
    ]);
  });
});

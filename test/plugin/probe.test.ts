/** The probe is an identity in both directions, and owns nothing that is not its own. */
import * as tf from '@tensorflow/tfjs-core';
import { expect, test } from 'vitest';
import { StepProbe } from '../../plugin/capture/probe.ts';
import { activationParts } from '../../plugin/measure/layout.ts';
import { metricsOfGroup } from '../../src/catalogue.ts';
import { describeNative } from '../support/native.ts';

const probeOf = (): StepProbe =>
  new StepProbe({ activations: activationParts(metricsOfGroup('standard')), gradients: 'measured' }, (_, error) => {
    throw error;
  });

describeNative('the probe', () => {
  test('leaves the gradient that a caller brings along to the caller', () => {
    const before = tf.memory().numTensors;
    const x = tf.randomNormal([6, 4]);
    const dy = tf.randomNormal([6, 4]);
    for (let round = 0; round < 2; round++) {
      const probe = probeOf();
      const gradient = tf.grad((input) => probe.observe('out', input))(x, dy);
      expect(Array.from(gradient.dataSync())).toEqual(Array.from(dy.dataSync()));
      gradient.dispose();
      expect(dy.isDisposed).toBe(false);
      probe.dispose();
    }
    tf.dispose([x, dy]);
    expect(tf.memory().numTensors).toBe(before);
  });

  test('adds up right where its input has other uses', () => {
    const before = tf.memory().numTensors;
    const x = tf.tensor2d([[1, 2]]);
    const probe = probeOf();
    // y = x + 3 x + observed(x) * 2: gradient 1 + 3 + 2, in whatever order the parts are taken.
    const gradient = tf.grad((input) => {
      const observed = probe.observe('middle', input);
      return tf.add(tf.add(input, tf.mul(input, 3)), tf.mul(probe.observe('end', observed), 2));
    })(x);
    expect(Array.from(gradient.dataSync())).toEqual([6, 6]);
    tf.dispose([x, gradient]);
    probe.dispose();
    expect(tf.memory().numTensors).toBe(before);
  });
});

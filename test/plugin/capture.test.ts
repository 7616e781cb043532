/** Whatever way a model is run in a training pass, its sites are measured, and nothing outside of training. */
import * as tf from '@tensorflow/tfjs-core';
import { type LayersModel, layers, type SymbolicTensor, sequential } from '@tensorflow/tfjs-layers';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { describeNative } from '../support/native.ts';
import { expectMeasured, rowsOf, tidily } from './expected.ts';
import { Custom, dense, eager, residual, rows, sumOf, train, width } from './small-models.ts';
import { watching } from './watching.ts';

type Run = (inputs: tf.Tensor) => tf.Tensor;

describeNative('capture', () => {
  const { monitor: monitorOf } = watching();
  let x: tf.Tensor2D;
  let before: number;

  beforeEach(() => {
    before = tf.memory().numTensors;
    x = tf.randomNormal([rows, width], 0, 1, 'float32', 7);
  });
  afterEach(() => {
    x.dispose();
    tf.disposeVariables();
    expect(tf.memory().numTensors).toBe(before);
  });

  const ways: [string, (model: LayersModel) => Run][] = [
    ['apply', (model) => (of) => model.apply(of) as tf.Tensor],
    ['apply for training', (model) => (of) => model.apply(of, { training: true }) as tf.Tensor],
    ['call', (model) => (of) => (model.call(of, {}) as tf.Tensor[])[0] as tf.Tensor],
    ['predict', (model) => (of) => model.predict(of) as tf.Tensor],
    ['predictOnBatch', (model) => (of) => model.predictOnBatch(of) as tf.Tensor],
    ['execute', (model) => (of) => model.execute(of, 'head/BiasAdd') as tf.Tensor],
  ];
  test.each(ways)('sees a model that runs by %s, in training only', async (name, way) => {
    const model = residual();
    const output = (model.outputs[0] as SymbolicTensor).name;
    const run: Run = name === 'execute' ? (of) => model.execute(of, output) as tf.Tensor : way(model);
    const monitor = monitorOf();
    monitor.attach(model);
    tf.dispose(run(x));
    train(() => run(x));
    tf.dispose(run(x));
    monitor.stepSync();
    const expected = tidily(() => rowsOf(sumOf(model, x)));
    expect([...(monitor.latest?.sites.keys() ?? [])]).toEqual(['sum']);
    expectMeasured(monitor.latest, 'sum', expected);
    expect(monitor.latest?.sites.get('sum')?.metrics.gradient_rms).toBeGreaterThan(0);
    expect(monitor.faults).toBe(0);
    await monitor.close();
  });

  test('takes the rows of all passes of a step together', async () => {
    const model = residual();
    const monitor = monitorOf();
    monitor.attach(model);
    const [other, third] = [tf.mul(x, 3), tf.neg(x)];
    // Two passes in one function, as of siamese twins, then a further one: gradient accumulation.
    train(() => tf.concat([model.apply(x) as tf.Tensor, model.apply(other) as tf.Tensor]));
    train(() => model.apply(third) as tf.Tensor);
    monitor.stepSync();
    expectMeasured(
      monitor.latest,
      'sum',
      tidily(() => rowsOf(sumOf(model, x), sumOf(model, other), sumOf(model, third))),
    );
    tf.dispose([other, third]);
    await monitor.close();
  });

  test('takes a layer that returns its input, a recurrent one with states, images, and nested sequences', async () => {
    const monitor = monitorOf({ sites: [/^same$|^lstm$|conv|inner\/last/] });
    const same = new Custom('same', (of) => of);
    const inner = sequential({ name: 'inner', layers: [dense('first'), dense('last')] });
    const flat = sequential({ name: 'flat', layers: [inner] });
    const lstm = layers.lstm({
      units: 4,
      returnSequences: true,
      returnState: true,
      name: 'lstm',
      inputShape: [3, width],
    });
    const conv = layers.conv2d({ filters: 3, kernelSize: 2, name: 'conv', inputShape: [4, 4, 1] });
    const holder = { same, flat, lstm, conv };
    monitor.attach(holder);
    const series = tf.randomNormal([2, 3, width]);
    const images = tf.randomNormal([2, 4, 4, 1]);
    const [sequence] = tf.tidy(() => [tf.keep((lstm.apply(series) as tf.Tensor[])[0] as tf.Tensor)]) as [tf.Tensor];
    const seen = eager(conv, images);
    train(() => {
      const outputs = [
        eager(same, x),
        eager(flat, x),
        (lstm.apply(series) as tf.Tensor[])[0] as tf.Tensor,
        eager(conv, images),
      ];
      return tf.addN(outputs.map((output) => tf.sum(output)));
    });
    monitor.stepSync();
    const names = [...(monitor.latest?.sites.keys() ?? [])];
    expect(names).toEqual(['same', 'flat/inner/last', 'lstm', 'conv']);
    expectMeasured(monitor.latest, 'same', rowsOf(x));
    expectMeasured(monitor.latest, 'lstm', rowsOf(sequence));
    expectMeasured(monitor.latest, 'conv', rowsOf(seen));
    expect(monitor.faults).toBe(0);
    tf.dispose([series, images, sequence, seen]);
    await monitor.close();
  });

  test('measures within gradients of gradients and custom gradients', async () => {
    const monitor = monitorOf();
    monitor.attach(residual());
    const tapped = (of: tf.Tensor): tf.Tensor => tf.sum(tf.pow(monitor.tap('inner', tf.mul(of, 2)), 3));
    const penalty = tidily(() => rowsOf(tf.grad((of) => tf.sum(tf.square(tf.grad(tapped)(of))))(x)));
    const expected = tidily(() => rowsOf(tf.mul(tf.pow(x, 3), 2304))); // d/dx of (24 x^2)^2
    expect(penalty).toEqual(expected.map((row) => row.map((value) => expect.closeTo(value, 1))));
    const cube = tf.customGrad((of) => ({
      value: tf.pow(monitor.tap('custom', of as tf.Tensor), 3),
      gradFunc: (dy: tf.Tensor) => dy,
    }));
    tf.dispose(tf.grad((of) => tf.sum(cube(of)))(x));
    monitor.stepSync();
    expectMeasured(
      monitor.latest,
      'inner',
      tidily(() => rowsOf(tf.mul(x, 2))),
    );
    expectMeasured(monitor.latest, 'custom', rowsOf(x));
    expect(monitor.faults).toBe(0);
    await monitor.close();
  });
});

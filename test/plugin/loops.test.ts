/** Loops of one's own: `attach`, `step` and `stepSync`, `tap`; what a loop does wrong, and what goes wrong in it. */
import * as tf from '@tensorflow/tfjs-core';
import { input, type LayersModel, layers, type SymbolicTensor, model as tfModel } from '@tensorflow/tfjs-layers';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { AdamW } from '../../plugin/optimizers/index.ts';
import { describeNative } from '../support/native.ts';
import { expectMeasured, rowsOf, tidily } from './expected.ts';
import { watching } from './watching.ts';

const width = 6;

describeNative('a loop of one’s own', () => {
  const { monitor: monitorOf, stored } = watching();
  let x: tf.Tensor2D;
  let model: LayersModel;
  let before: number;

  beforeEach(() => {
    before = tf.memory().numTensors;
    x = tf.randomNormal([8, width], 0, 1, 'float32', 7);
    const inputs = input({ shape: [width] });
    const mixed = layers.dense({ units: width, name: 'mix', useBias: false }).apply(inputs);
    const outputs = layers.add({ name: 'sum' }).apply([inputs, mixed] as SymbolicTensor[]);
    model = tfModel({ inputs, outputs: outputs as SymbolicTensor });
  });
  afterEach(() => {
    x.dispose();
    tf.disposeVariables();
    expect(tf.memory().numTensors).toBe(before);
  });

  const lossOf = (): tf.Scalar => tf.mean(tf.square(model.apply(x) as tf.Tensor));
  const sumRows = () => tidily(() => rowsOf(model.predict(x) as tf.Tensor));

  test('is measured at its sampled steps, by step', async () => {
    const optimizer = tf.train.sgd(0.1);
    const monitor = monitorOf({ every: 3 });
    monitor.attach(model);
    const losses: number[] = [];
    for (let step = 0; step < 7; step++) {
      const rows = sumRows();
      const loss = optimizer.minimize(lossOf, true) as tf.Scalar;
      await monitor.step({ loss, learningRate: 0.1, gradientNorm: 2, scalars: { accuracy: 0.5 } });
      losses.push(loss.dataSync()[0] as number);
      loss.dispose();
      if (step % 3 === 0) expectMeasured(monitor.latest, 'sum', rows);
    }
    const { steps, scalars } = await stored(monitor);
    expect(steps).toEqual([0, 3, 6]);
    expect(scalars['loss']).toEqual([0, 3, 6].map((step) => losses[step]));
    expect(scalars['learning_rate']).toEqual([0.1, 0.1, 0.1]);
    expect(scalars['gradient_norm']).toEqual([2, 2, 2]);
    expect(scalars['accuracy']).toEqual([0.5, 0.5, 0.5]);
    expect(monitor.faults).toBe(0);
    optimizer.dispose();
  });

  test('is measured the same by stepSync, and by step without await', async () => {
    const optimizer = tf.train.sgd(0);
    for (const end of ['step', 'stepSync'] as const) {
      const monitor = monitorOf({ every: 2 });
      monitor.attach(model);
      for (let step = 0; step < 5; step++) {
        const loss = optimizer.minimize(lossOf, true) as tf.Scalar;
        void monitor[end]({ loss });
        loss.dispose();
        expect([end, step, monitor.latest?.step]).toEqual([end, step, step - (step % 2)]);
        expectMeasured(monitor.latest, 'sum', sumRows());
      }
      expect((await stored(monitor)).steps).toEqual([0, 2, 4]);
    }
    optimizer.dispose();
  });

  test('may end its steps within tf.tidy', async () => {
    const optimizer = tf.train.sgd(0.1);
    const monitor = monitorOf();
    const kept = tf.memory().numTensors;
    monitor.attach(model);
    for (let step = 0; step < 3; step++) {
      tf.tidy(() => {
        const loss = optimizer.minimize(lossOf, true) as tf.Scalar;
        if (step === 1) void monitor.step({ loss });
        else monitor.stepSync({ loss });
      });
      expect(tf.memory().numTensors).toBe(kept);
    }
    expect((await stored(monitor)).steps).toEqual([0, 1, 2]);
    optimizer.dispose();
  });

  test('counts its own steps, from where it is told to', async () => {
    const monitor = monitorOf({ every: 10, initialStep: 1003 });
    monitor.attach(model);
    const optimizer = tf.train.sgd(0.1);
    for (let step = 1003; step < 1022; step++) {
      optimizer.minimize(lossOf);
      monitor.stepSync();
    }
    // The first, then the steps that a run without a break would have sampled.
    expect((await stored(monitor)).steps).toEqual([1003, 1010, 1020]);
    optimizer.dispose();
  });

  test('is sampled densely while kurtosis moves, and rarely while it does not', async () => {
    const monitor = monitorOf({ every: 8, adaptive: { shortest: 2, longest: 16 } });
    const neurons = tf.tidy(() => tf.concat([tf.ones([1]), tf.zeros([width - 1])]));
    for (let step = 0; step < 80; step++) {
      tf.tidy(() => {
        // One neuron grows up to step 40.
        const growth = 0.2 * 1.08 ** Math.min(step, 40);
        const scales = tf.add(1, tf.mul(neurons, growth));
        tf.grad((of) => tf.sum(monitor.tap('h', tf.mul(of, scales))))(x);
        monitor.stepSync();
      });
    }
    const { steps } = await stored(monitor);
    const distances = steps.slice(1).map((step, index) => step - (steps[index] as number));
    expect(Math.min(...distances)).toBeLessThanOrEqual(4);
    expect(distances.at(-1)).toBe(16);
    neurons.dispose();
  });

  test('knows the learning rate and gradient norm of a compiled model', async () => {
    const optimizer = new AdamW({ learningRate: 0.25, clipNorm: 1 });
    model.compile({ optimizer, loss: 'meanSquaredError' });
    const monitor = monitorOf();
    monitor.attach(model);
    const target = tf.zerosLike(x);
    const loss = (await model.trainOnBatch(x, target)) as number;
    await monitor.step({ loss });
    expect(monitor.latest?.scalars).toMatchObject({ learning_rate: 0.25, loss });
    expect(monitor.latest?.scalars['gradient_norm']).toBeGreaterThan(0);
    await monitor.close();
    tf.dispose(target);
    optimizer.dispose();
  });

  test('that throws within a step loses nothing, and goes on', async () => {
    const monitor = monitorOf();
    monitor.attach(model);
    const failing = (): tf.Scalar => {
      model.apply(x);
      throw new Error('out of data');
    };
    const start = tf.memory().numTensors;
    expect(() => tf.variableGrads(failing)).toThrow('out of data');
    monitor.attach(model); // changes nothing
    monitor.stepSync();
    const lost = tf.memory().numTensors - start;
    expect(() => tf.variableGrads(failing)).toThrow('out of data');
    // What is lost is what TensorFlow.js kept for the gradient: the same without a monitor.
    await monitor.close();
    expect(tf.memory().numTensors - start).toBe(2 * lost);
    expect(() => tf.variableGrads(failing)).toThrow('out of data');
    expect(tf.memory().numTensors - start).toBe(3 * lost);
    before += 3 * lost;
  });

  test('leaves the model alone once its monitor is closed', async () => {
    const monitor = monitorOf();
    monitor.attach(model);
    const sum = model.getLayer('sum');
    expect(Object.hasOwn(sum, 'call')).toBe(true);
    await monitor.close();
    expect(Object.hasOwn(sum, 'call')).toBe(false);
    monitor.stepSync({ loss: 1 });
    monitor.attach(model);
    expect(Object.hasOwn(sum, 'call')).toBe(false);
    expect(await monitor.close()).toEqual(await monitor.close());
  });

  test('of plain operations is measured from its first step, attention too', async () => {
    const monitor = monitorOf({ every: 2 });
    const identity = tf.eye(width);
    const weights = tf.variable(identity);
    const scores = tf.zeros([2, 4, 4]);
    const loss = (): tf.Scalar => {
      const hidden = monitor.tap('h0/residual', tf.matMul(x, weights));
      monitor.tapAttention('h0/attention', { weights: tf.softmax(scores), logits: scores });
      return tf.sum(hidden);
    };
    for (let step = 0; step < 3; step++) {
      tf.dispose(Object.values(tf.variableGrads(loss, [weights])));
      monitor.stepSync();
      expect(monitor.latest?.step).toBe(step - (step % 2));
    }
    expectMeasured(monitor.latest, 'h0/residual', rowsOf(x));
    expect(monitor.latest?.sites.get('h0/residual')?.metrics.gradient_rms).toBeCloseTo(1, 5);
    const { metrics } = monitor.latest?.sites.get('h0/attention') ?? {};
    expect(metrics?.attention_entropy).toBeCloseTo(Math.log(4), 5);
    expect(metrics?.max_attention_logit).toBe(0);
    await monitor.close();
    tf.dispose([identity, scores]);
  });
});

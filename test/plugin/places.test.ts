/** Each place of a model is a site of its own: shared layers, several models; and models are left as they were found. */
import * as tf from '@tensorflow/tfjs-core';
import { input, layers, model as tfModel } from '@tensorflow/tfjs-layers';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { describeNative } from '../support/native.ts';
import { expectMeasured, rowsOf, tidily } from './expected.ts';
import { Custom, dense, eager, residual, rows, sumOf, symbolic, train, width } from './small-models.ts';
import { watching } from './watching.ts';

describeNative('the places of a model', () => {
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

  test('tells the places of a shared layer apart', async () => {
    const inputs = input({ shape: [width] });
    const shared = dense('shared');
    const outputs = symbolic(shared, symbolic(layers.reLU({ name: 'relu' }), symbolic(shared, inputs)));
    const model = tfModel({ inputs, outputs });
    const monitor = monitorOf({ sites: ['shared'] });
    monitor.attach(model);
    const again = tf.mul(x, 2);
    for (let step = 0; step < 2; step++) {
      train(() => tf.add(model.apply(x) as tf.Tensor, model.predict(again) as tf.Tensor));
      monitor.stepSync();
      const [first, second] = tidily(() => {
        const firsts = [x, again].map((of) => eager(shared, of));
        return [rowsOf(...firsts), rowsOf(...firsts.map((of) => eager(shared, tf.relu(of))))];
      });
      expect([...(monitor.latest?.sites.keys() ?? [])]).toEqual(['shared', 'shared#2']);
      expectMeasured(monitor.latest, 'shared', first);
      expectMeasured(monitor.latest, 'shared#2', second);
    }
    again.dispose();
    await monitor.close();
  });

  test('tells the parts of a shared block apart, and a pass that was cut short from the next', async () => {
    const inner = input({ shape: [width] });
    const block = tfModel({
      name: 'block',
      inputs: inner,
      outputs: symbolic(layers.add({ name: 'sum' }), [inner, symbolic(dense('mix'), inner)]),
    });
    const inputs = input({ shape: [width] });
    const model = tfModel({ inputs, outputs: symbolic(block, symbolic(block, inputs)) });
    const failing = (): number => {
      const start = tf.memory().numTensors;
      const pass = (): tf.Tensor => {
        model.predict(x);
        block.apply(x);
        throw new Error('out of data');
      };
      expect(() => train(pass)).toThrow('out of data');
      return tf.memory().numTensors - start;
    };
    tf.dispose(model.predict(x));
    // TensorFlow.js itself loses what it kept for the gradient of a pass that throws.
    const lost = failing();
    before += 2 * lost;

    const monitor = monitorOf();
    monitor.attach(model);
    const untouched = tf.memory().numTensors;
    failing();
    train(() => model.apply(x) as tf.Tensor);
    monitor.stepSync();
    expect(tf.memory().numTensors).toBe(untouched + lost);
    expect([...(monitor.latest?.sites.keys() ?? [])]).toEqual(['block/sum', 'block#2/sum']);
    const [once, twice] = tidily(() => {
      const sum = sumOf(block, x);
      return [rowsOf(sum), rowsOf(sumOf(block, sum))];
    });
    expectMeasured(monitor.latest, 'block/sum', [...once, ...once, ...once]);
    expectMeasured(monitor.latest, 'block#2/sum', [...twice, ...twice]);
    await monitor.close();
  });

  test('sees sublayers in fields, whether applied or called, each time that their layer runs them', async () => {
    const [mix, add] = [dense('mix'), layers.add({ name: 'add' })];
    const body = function (this: Custom, of: tf.Tensor): tf.Tensor {
      const once = add.call([of, eager(mix, of)], {}) as tf.Tensor;
      return eager(add, [once, mix.call(once, {}) as tf.Tensor]);
    };
    const block = new Custom('block', body, { mix, adds: [add] });
    const inputs = input({ shape: [width] });
    const model = tfModel({ inputs, outputs: symbolic(block, inputs) });
    tf.dispose(model.predict(x)); // builds the sublayers
    const monitor = monitorOf();
    monitor.attach(model);
    train(() => tf.concat([model.apply(x) as tf.Tensor, model.apply(tf.mul(x, 2)) as tf.Tensor]));
    monitor.stepSync();
    expect([...(monitor.latest?.sites.keys() ?? [])]).toEqual(['block/add', 'block/add#2']);
    const [first, second] = tidily(() => {
      const firsts = [x, tf.mul(x, 2)].map((of) => tf.add(of, eager(mix, of)));
      return [rowsOf(...firsts), rowsOf(...firsts.map((of) => tf.add(of, eager(mix, of))))];
    });
    expectMeasured(monitor.latest, 'block/add', first);
    expectMeasured(monitor.latest, 'block/add#2', second);
    await monitor.close();
  });

  test('watches several models, the second under its own name where they would clash', async () => {
    const [one, other] = [residual(), residual()];
    const monitor = monitorOf();
    monitor.attach(one).attach(other).attach(one);
    train(() => tf.add(one.apply(x) as tf.Tensor, other.apply(x) as tf.Tensor));
    monitor.stepSync();
    expect([...(monitor.latest?.sites.keys() ?? [])]).toEqual(['sum', 'model_1/sum']);
    expectMeasured(
      monitor.latest,
      'sum',
      tidily(() => rowsOf(sumOf(one, x))),
    );
    expectMeasured(
      monitor.latest,
      'model_1/sum',
      tidily(() => rowsOf(sumOf(other, x))),
    );
    await monitor.close();
  });

  test('wraps on sampled steps alone, and leaves what others wrapped', async () => {
    const model = residual();
    const sum = model.getLayer('sum');
    let calls = 0;
    const wrapInto = (): (() => void) => {
      const under = sum.call;
      const mine = (inputs: tf.Tensor[], kwargs: object): tf.Tensor | tf.Tensor[] => {
        calls += 1;
        return under.call(sum, inputs, kwargs);
      };
      sum.call = mine;
      return () => expect(sum.call).toBe(mine);
    };
    const isMine = wrapInto();
    const [monitor, second] = [monitorOf({ every: 2 }), monitorOf({ every: 3 })];
    monitor.attach(model);
    second.attach(model);
    let buried = isMine;
    for (let step = 0; step < 6; step++) {
      const sampled = step % 2 === 0 || step % 3 === 0;
      if (step < 4) expect(Object.getOwnPropertyDescriptor(sum, 'call')?.value === sum.call).toBe(true);
      if (!sampled) buried();
      // Somebody wraps while ours is in place.
      if (step === 3) buried = wrapInto();
      train(() => model.apply(x) as tf.Tensor);
      monitor.stepSync();
      second.stepSync();
    }
    expect(calls).toBe(6 + 3);
    await Promise.all([monitor.close(), second.close()]);
    buried();
    expectMeasured(
      monitor.latest,
      'sum',
      tidily(() => rowsOf(sumOf(model, x))),
    );
    expect(monitor.latest?.step).toBe(4);
    expect(second.latest?.step).toBe(3);
    for (const name of ['mix', 'head']) expect(Object.hasOwn(model.getLayer(name), 'call')).toBe(false);
    expect(Object.hasOwn(model, 'call')).toBe(false);
  });
});

/** Whatever way a model is run in a training pass, its sites are measured: each place once, and nothing outside of training. */
import * as tf from '@tensorflow/tfjs-core';
import {
  input,
  type LayersModel,
  layers,
  type SymbolicTensor,
  sequential,
  model as tfModel,
} from '@tensorflow/tfjs-layers';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { describeNative } from '../support/native.ts';
import { expectMeasured, rowsOf, tidily } from './expected.ts';
import { watching } from './watching.ts';

type Layer = layers.Layer;
type Run = (inputs: tf.Tensor) => tf.Tensor;

const width = 6;
const rows = 5;

/** A layer whose `call` is the user's own code; it may hold others in fields. */
class Custom extends layers.Layer {
  static className = 'Custom';
  private readonly run: (this: Custom, x: tf.Tensor) => tf.Tensor;
  constructor(name: string, run: (this: Custom, x: tf.Tensor) => tf.Tensor, fields: object = {}) {
    super({ name });
    this.run = run;
    Object.assign(this, fields);
  }
  override computeOutputShape(shape: number[]): number[] {
    return shape;
  }
  override call(inputs: tf.Tensor | tf.Tensor[]): tf.Tensor {
    return this.run(Array.isArray(inputs) ? (inputs[0] as tf.Tensor) : inputs);
  }
}

const symbolic = (layer: Layer, x: unknown): SymbolicTensor => layer.apply(x as SymbolicTensor) as SymbolicTensor;
const dense = (name: string, units = width): Layer =>
  layers.dense({ units, name, inputShape: [width], kernelInitializer: 'glorotNormal' });
const eager = (layer: Layer, x: tf.Tensor | tf.Tensor[]): tf.Tensor => layer.apply(x) as tf.Tensor;

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

  /** One training step of a pass: the gradients by all weights are taken. */
  const train = (pass: () => tf.Tensor): void =>
    tf.tidy(() => void tf.variableGrads(() => tf.sum(tf.square(pass())) as tf.Scalar));

  /** x + dense(x), then a head. */
  function residual(): LayersModel {
    const inputs = input({ shape: [width] });
    const sum = symbolic(layers.add({ name: 'sum' }), [inputs, symbolic(dense('mix'), inputs)]);
    return tfModel({ inputs, outputs: symbolic(dense('head', 2), sum) });
  }
  const sumOf = (model: LayersModel, of: tf.Tensor): tf.Tensor => tf.add(of, eager(model.getLayer('mix'), of));

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

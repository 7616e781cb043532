/** What is wrong shows before training, by an error that says what to do; during training it is counted, told once, and left out. */
import * as tf from '@tensorflow/tfjs-core';
import { input, layers, type SymbolicTensor, model as tfModel } from '@tensorflow/tfjs-layers';
import { type MonitorOptions, outlierMonitor } from 'outlierscope';
import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest';
import { describeNative } from '../support/native.ts';
import { expectMeasured, rowsOf } from './expected.ts';
import { watching } from './watching.ts';

describe('an option that is not right', () => {
  const wrong: [string, object, RegExp][] = [
    ['every: 0', { every: 0 }, /every: .*>=1.*received 0/],
    ['every: 2.5', { every: 2.5 }, /every: .*received 2\.5/],
    ['a negative first step', { initialStep: -1 }, /initialStep: .*received -1/],
    [
      'an unknown metric',
      { metrics: ['kurtosis', 'kurtossis'] },
      /metrics: there is no metric kurtossis; .*\(kurtosis, kurtosis_centred, .*received \["kurtosis","kurtossis"\]/,
    ],
    ['an unknown group', { metrics: 'everything' }, /metrics: .*received "everything"/],
    ['no metric', { metrics: [] }, /metrics: /],
    ['a site named twice', { sites: ['h0/add', /mlp/, 'h0/add'] }, /sites: a site is named twice/],
    ['an empty site', { sites: [''] }, /sites\.0: Too small/],
    ['a site that is no name', { sites: [3] }, /sites\.0: give a name, a kind or a pattern, received 3/],
    ['bounds the wrong way round', { adaptive: { shortest: 9, longest: 3 } }, /adaptive: shortest must not be more/],
    ['an adapter that is no function', { attention: { Attention: 'yes' } }, /attention\.Attention: .*received "yes"/],
    ['an option that does not exist', { evry: 5 }, /Unrecognized key: "evry"/],
    ['an address of another protocol', { url: 'http://127.0.0.1:9877' }, /url: .*received "http:/],
  ];
  test.each(wrong)('is an error when the monitor is made: %s', (_, options, message) => {
    const make = () => outlierMonitor(options as MonitorOptions);
    expect(make).toThrow(message);
    expect(make).toThrow(/^outlierMonitor: /);
  });
});

describeNative('in a loop', () => {
  const { monitor: monitorOf, stored } = watching();
  const width = 4;
  let x: tf.Tensor2D;
  let before: number;
  beforeEach(() => {
    before = tf.memory().numTensors;
    x = tf.randomNormal([6, width], 0, 1, 'float32', 3);
  });
  afterEach(() => {
    x.dispose();
    tf.disposeVariables();
    expect(tf.memory().numTensors).toBe(before);
  });

  const train = (pass: (x: tf.Tensor) => tf.Tensor): void => tf.tidy(() => void tf.grad((of) => tf.sum(pass(of)))(x));

  test('a symbolic tensor is an error where the model is built', async () => {
    const monitor = monitorOf();
    const symbolic = input({ shape: [width] });
    expect(() => monitor.tap('h0', symbolic as never)).toThrow(
      /tap\('h0'\) received a symbolic tensor \(a model of layers is watched with monitor\.attach\(model\)\)/,
    );
    expect(() => monitor.attach(symbolic)).toThrow(/attach needs a TensorFlow\.js model or layer/);
    await monitor.close();
  });

  const untakeable: [string, () => tf.Tensor, RegExp][] = [
    ['a disposed tensor', () => disposed(), /the tensor is disposed/],
    ['a scalar', () => tf.scalar(1), /the tensor has rank 0/],
    ['a vector', () => tf.ones([4]), /the tensor has rank 1/],
    ['whole numbers', () => tf.ones([3, 4], 'int32'), /the tensor is int32/],
    ['truth values', () => tf.ones([3, 4], 'bool'), /the tensor is bool/],
    ['an empty tensor', () => tf.zeros([0, 4]), /the tensor is empty, of shape \[0, 4\]/],
    ['no tensor', () => 3 as never, /it is no tensor but number/],
  ];
  test.each(untakeable)('%s is passed on, counted and told once', async (_, make, why) => {
    const warnings: string[] = [];
    const monitor = monitorOf({}, warnings);
    for (let step = 0; step < 2; step++) {
      train((of) => {
        const odd = make();
        expect(monitor.tap('odd', odd)).toBe(odd);
        return monitor.tap('fine', tf.mul(of, 2));
      });
      monitor.stepSync();
    }
    expect(monitor.faults).toBe(2);
    expect(warnings).toEqual([expect.stringMatching(/^measuring odd: .*left out \(told once; training goes on\)$/)]);
    expect(warnings[0]).toMatch(why);
    expectMeasured(
      monitor.latest,
      'fine',
      rowsOf(x).map((row) => row.map((value) => 2 * value)),
    );
    expect((await stored(monitor)).sites).toEqual(['fine']);
  });

  test('a name used for two places, or for a layer as well, stands for the first', async () => {
    const warnings: string[] = [];
    const monitor = monitorOf({}, warnings);
    const inputs = input({ shape: [width] });
    const outputs = layers.add({ name: 'sum' }).apply([inputs, inputs] as SymbolicTensor[]) as SymbolicTensor;
    const model = tfModel({ inputs, outputs });
    monitor.attach(model);
    train((of) => {
      const once = monitor.tap('twice', of);
      monitor.tap('sum', once);
      return monitor.tap('twice', model.apply(tf.mul(once, 3)) as tf.Tensor);
    });
    train((of) => monitor.tap('twice', tf.mul(of, 1))); // the next micro-batch
    monitor.stepSync();
    expect(monitor.faults).toBe(2);
    expect(warnings.sort()).toEqual([
      expect.stringMatching(/^tap\('sum'\): the name is in use/),
      expect.stringMatching(/^tap\('twice'\): the name is in use/),
    ]);
    expectMeasured(monitor.latest, 'twice', [...rowsOf(x), ...rowsOf(x)]);
    expectMeasured(
      monitor.latest,
      'sum',
      rowsOf(x).map((row) => row.map((value) => 6 * value)),
    );
    await monitor.close();
  });

  test('a layer whose output cannot be measured is left out, and changes of width too', async () => {
    class Odd extends layers.Layer {
      static className = 'Odd';
      override call(inputs: tf.Tensor | tf.Tensor[]): tf.Tensor {
        const of = (Array.isArray(inputs) ? inputs[0] : inputs) as tf.Tensor;
        return this.name === 'sums' ? tf.sum(of, 1) : of;
      }
    }
    const [sums, same] = [new Odd({ name: 'sums' }), new Odd({ name: 'same' })];
    const warnings: string[] = [];
    const monitor = monitorOf({ sites: ['sums', 'same'] }, warnings);
    monitor.attach({ sums, same });
    const pass = (of: tf.Tensor): tf.Tensor =>
      tf.add(tf.sum(sums.apply(of) as tf.Tensor), tf.sum(same.apply(of) as tf.Tensor));
    train(pass);
    monitor.stepSync();
    train((of) => pass(tf.concat([of, of], 1)));
    monitor.stepSync();
    expect(monitor.faults).toBe(3);
    expect(warnings).toEqual([
      expect.stringMatching(/^measuring sums: the tensor has rank 1/),
      expect.stringMatching(/^measuring same: same has width 8, and was 4 before/),
    ]);
    await monitor.close();
  });

  test('scalars that cannot be taken cost no frame', async () => {
    const warnings: string[] = [];
    const monitor = monitorOf({ every: 2 }, warnings);
    const many = Object.fromEntries(Array.from({ length: 300 }, (_, index) => [`many/${index}`, index]));
    const vector = tf.ones([2]);
    for (const loss of [disposed(), vector, 'low' as never, 0.5]) {
      train((of) => monitor.tap('h', of));
      monitor.stepSync({ loss, scalars: { '': 1, fine: 2, odd: null as never, ...many } });
    }
    vector.dispose();
    monitor.log({ loss: 3, mine: 'x' as never });
    expect(warnings.join('\n')).toMatch(/the scalar 'loss': the tensor is disposed, so it is left out/);
    expect(warnings.join('\n')).toMatch(/the scalar '': names have 1 to 256 characters/);
    expect(warnings.join('\n')).toMatch(/a run has at most 256 scalars/);
    expect(warnings.join('\n')).toMatch(/log: cannot log "loss" = 3/);
    const { steps, scalars } = await stored(monitor);
    expect(steps).toEqual([0, 2]);
    expect(scalars['fine']).toEqual([2, 2]);
  });

  test('nothing of the user’s that throws within the monitor reaches the loop', async () => {
    class Attention extends layers.Layer {
      static className = 'Attention';
      override call(inputs: tf.Tensor | tf.Tensor[]): tf.Tensor {
        return tf.mul(Array.isArray(inputs) ? (inputs[0] as tf.Tensor) : inputs, 1);
      }
    }
    const throwing = (): never => {
      throw new Error('mine');
    };
    const told = vi.spyOn(console, 'warn').mockImplementation(() => {});
    const monitor = monitorOf({ sites: ['attention'], attention: { Attention: throwing }, warn: throwing });
    const attention = new Attention({ name: 'attention' });
    monitor.attach(attentionIn(attention));
    train((of) => {
      monitor.tapAttention('none', undefined as never);
      monitor.tapAttention('shapeless', { weights: tf.scalar(1) });
      monitor.tapAttention('disposed', { logits: disposed() });
      monitor.tapAttention('empty', {});
      return attention.apply(of) as tf.Tensor;
    });
    monitor.stepSync();
    expect(monitor.faults).toBe(5);
    expect(told).toHaveBeenCalledWith('outlierscope: the option warn threw: mine');
    told.mockRestore();
    expectMeasured(monitor.latest, 'attention', rowsOf(x));
    expect((await stored(monitor)).sites).toEqual(['attention']);

    // A layer that cannot be wrapped: the step is not measured, and trains.
    const warnings: string[] = [];
    const second = monitorOf({ sites: ['attention'] }, warnings);
    const frozen = Object.freeze(new Attention({ name: 'attention' })) as Attention;
    second.attach(attentionIn(frozen));
    train((of) => frozen.call(of));
    second.stepSync({ loss: 1 });
    expect(warnings[0]).toMatch(/^beginning a step: /);
    await second.close();
  });

  test('a sampled step that saw nothing says so, and why', async () => {
    const warnings: string[] = [];
    const monitor = monitorOf({}, warnings);
    monitor.tap('h', x);
    monitor.stepSync({ loss: 1 });
    expect(warnings).toEqual([expect.stringMatching(/^a sampled step: nothing was tapped: call monitor\.tap/)]);
    expect((await stored(monitor)).scalars['loss']).toEqual([1]);
  });
});

function disposed(): tf.Tensor {
  const tensor = tf.ones([2, 2]);
  tensor.dispose();
  return tensor;
}

/** An object of the user's own that holds a layer, and something beside it. */
function attentionIn(layer: layers.Layer): object {
  return { layer, other: layers.dense({ units: 1 }) };
}

/** Which layers a model has, what they are called, what part they play, and which of them are measured. */
import * as tf from '@tensorflow/tfjs-core';
import {
  input,
  type LayersModel,
  layers,
  type SymbolicTensor,
  sequential,
  model as tfModel,
} from '@tensorflow/tfjs-layers';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { findLayers } from '../../plugin/capture/layers.ts';
import { chooseLayers, chooseSites, holderOfLayers } from '../../plugin/capture/sites.ts';
import { describeNative } from '../support/native.ts';

type Layer = layers.Layer;
type Shape = number[];

/** A layer of the user's own that holds others in its fields. */
class Holding extends layers.Layer {
  static className = 'Holding';
  constructor(fields: object, name?: string) {
    super(name === undefined ? {} : { name });
    Object.assign(this, fields);
  }
  override computeOutputShape(shape: Shape): Shape {
    return shape;
  }
}

/** A transformer block that adds in plain operations. */
class TransformerBlock extends Holding {
  static override className = 'TransformerBlock';
}

const dense = (name?: string): Layer =>
  layers.dense({ units: 4, inputShape: [4], ...(name !== undefined && { name }) });
const apply = (layer: Layer, x: unknown): SymbolicTensor => layer.apply(x as SymbolicTensor) as SymbolicTensor;
const paths = (model: object): string[] => findLayers(model).map(({ path }) => path);
const stream = (model: object): string[] => chooseSites(model, undefined).map(({ path }) => path);

describeNative('the layers of a model', () => {
  let before: number;
  beforeAll(() => {
    before = tf.memory().numTensors;
    tf.engine().startScope();
  });
  afterAll(() => {
    tf.engine().endScope();
    tf.disposeVariables();
    expect(tf.memory().numTensors).toBe(before);
  });

  /** x + branch(x), twice, as nested models without names. */
  function unnamed(): LayersModel {
    const block = (): LayersModel => {
      const x = input({ shape: [4] });
      return tfModel({ inputs: x, outputs: apply(layers.add(), [x, apply(dense(), x)]) });
    };
    const x = input({ shape: [4] });
    const mixed = sequential({ layers: [dense()] });
    return tfModel({ inputs: x, outputs: apply(dense('head'), apply(mixed, apply(block(), apply(block(), x)))) });
  }

  test('are called the same in every copy of a model, whatever was made before', () => {
    const expected = ['model_0', 'model_0/dense_0', 'model_0/add_0', 'model_1', 'model_1/dense_0', 'model_1/add_0'];
    expect(paths(unnamed())).toEqual(
      expect.arrayContaining([...expected, 'input_0', 'sequential_0', 'sequential_0/dense_0', 'head']),
    );
    expect(paths(unnamed())).toEqual(paths(unnamed()));
  });

  test('keep the names that they were given, also where these look automatic', () => {
    const held = { parts: [dense('dense_1'), dense('dense_7'), dense('dense_1')] };
    expect(paths(new Holding(held))).toEqual(['dense_1', 'dense_7', 'dense_1_2']);
    const x = input({ shape: [4], name: 'x' });
    const model = tfModel({
      inputs: x,
      outputs: apply(layers.add(), [x, apply(layers.add({ name: 'add_0' }), [x, x])]),
    });
    expect(paths(model)).toEqual(['x', 'add_0', 'add_1']);
  });

  test('are found in fields, arrays, sets, maps and plain objects, and called by the field without a name of their own', () => {
    const shared = dense('shared');
    const holder = new Holding({
      attention: dense(),
      blocks: [new Holding({ first: dense() }), dense('named')],
      byKey: new Map([['left', dense()]]),
      set: new Set([dense()]),
      config: { inner: { layer: dense() } },
      again: shared,
      shared,
      history: [1, 2, 3],
      nothing: null,
    });
    expect(paths(holder)).toEqual([
      'attention',
      'blocks.0',
      'blocks.0/first',
      'named',
      'byKey.left',
      'set.0',
      'config.inner.layer',
      'shared',
    ]);
  });

  test('belong where the model lists them, not to a sibling that refers to them', () => {
    const embedding = dense('embedding');
    const x = input({ shape: [4], name: 'x' });
    const tied = new Holding({ embedding, own: dense() }, 'tied');
    const model = tfModel({ inputs: x, outputs: apply(embedding, apply(tied, x)) });
    expect(paths(model)).toEqual(['x', 'tied', 'tied/own', 'embedding']);
  });

  test('of the residual stream are Add layers, and blocks that add without one', () => {
    const x = input({ shape: [4] });
    let y = apply(layers.add({ name: 'embed' }), [apply(dense(), x), x]);
    y = apply(new TransformerBlock({ attention: dense(), mlp: sequential({ layers: [dense()] }) }, 'b0'), y);
    y = apply(new TransformerBlock({ add: layers.add(), mlp: sequential({ layers: [dense()] }) }, 'b1'), y);
    // A branch: whatever it is made of, only its sum with the stream is the stream.
    const branch = apply(layers.dropout({ rate: 0.1 }), apply(new Holding({ up: dense(), down: dense() }, 'ffn'), y));
    const other = apply(layers.dropout({ rate: 0.1 }), apply(new Holding({ up: dense() }, 'other'), y));
    y = apply(layers.add({ name: 'sum' }), [y, branch, other]);
    const model = tfModel({ inputs: x, outputs: apply(dense(), y) });
    expect(stream(model)).toEqual(['embed', 'b0', 'b1/add', 'sum']);
    expect(findLayers(model).find(({ path }) => path === 'b1')?.kind).toBe('custom');
    expect(findLayers(model).find(({ path }) => path === 'ffn')?.kind).toBe('mlp');
  });

  test('of the residual stream are found below objects and layers that hold blocks in fields', () => {
    const blocks = [new TransformerBlock({ mlp: dense() }), new TransformerBlock({ mlp: dense() })];
    expect(stream({ blocks, head: dense() })).toEqual(['blocks.0', 'blocks.1']);
    expect(stream(new Holding({ blocks: [new Holding({ mlp: dense() })] }))).toEqual(['blocks.0']);
    expect(stream(sequential({ layers: [dense(), new TransformerBlock({ mlp: dense() }, 'b')] }))).toEqual(['b']);
  });

  test('of a model without Add layers and blocks are the outputs of its recurrent layers and nested models', () => {
    const lstm = layers.lstm({ units: 4, returnSequences: true, name: 'lstm', inputShape: [3, 4] });
    const timed = layers.timeDistributed({ layer: dense(), name: 'timed' });
    expect(stream(sequential({ layers: [lstm, timed] }))).toEqual(['lstm']);
    const nested = sequential({ name: 'nested', layers: [dense()] });
    expect(stream(sequential({ layers: [dense(), nested] }))).toEqual(['nested']);
    const x = input({ shape: [3, 4] });
    const recurrent = layers.lstm({ units: 4, returnSequences: true, name: 'lstm' });
    const mixed = tfModel({ inputs: x, outputs: apply(recurrent, apply(layers.add({ name: 'sum' }), [x, x])) });
    expect(stream(mixed)).toEqual(['sum']);
  });

  test('are chosen by name, path, kind and pattern, in the order of the model', () => {
    const model = unnamed();
    const choose = (...choice: (string | RegExp)[]) => chooseSites(model, choice).map(({ path }) => path);
    expect(choose('head')).toEqual(['head']);
    expect(choose('model_1/add_0', 'model_0/add_0')).toEqual(['model_0/add_0', 'model_1/add_0']);
    expect(choose('residual')).toEqual(stream(model));
    expect(choose('logits')).toEqual(['head']);
    const pattern = /dense_\d$/g;
    expect(choose(pattern)).toEqual(choose(pattern));
    expect(choose(pattern)).toHaveLength(3);
    expect(choose()).toEqual([]);
  });

  test('that do not exist are an error that lists those that do', () => {
    const model = unnamed();
    expect(() => chooseSites(model, ['head', 'tail'])).toThrow(
      /no layer matches tail in model .*head \(Dense, logits\)/,
    );
    expect(() => chooseSites(model, [/h\d+/])).toThrow(/no layer matches \/h\\d\+\//);
    expect(() => chooseSites(sequential({ layers: [dense('only')] }), undefined)).toThrow(
      /residual stream.*only \(Dense, custom\)/,
    );
    expect(() => chooseLayers(model, undefined, ['SelfAttention'])).toThrow(/no layer is of class SelfAttention/);
  });

  test('are those of the one model that an object is around', () => {
    const model = unnamed();
    expect(holderOfLayers({ config: { width: 4 }, model })).toBe(model);
    expect(holderOfLayers(model)).toBe(model);
    // As fit hands it over.
    const outer = sequential({ layers: [unnamed(), dense('tail')] });
    tf.dispose(outer.predict(tf.zeros([1, 4])));
    expect(stream(holderOfLayers(outer))).toEqual(['model_0/add_0', 'model_1/add_0']);
    for (const none of [undefined, null, 3, 'model', {}, [], tf.scalar(1), input({ shape: [2] })]) {
      expect(() => holderOfLayers(none)).toThrow(/attach needs a TensorFlow.js model or layer, received/);
    }
  });
});

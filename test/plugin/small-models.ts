/** Small models of layers, and one training step of them, for the tests of capture. */
import * as tf from '@tensorflow/tfjs-core';
import { input, type LayersModel, layers, type SymbolicTensor, model as tfModel } from '@tensorflow/tfjs-layers';

type Layer = layers.Layer;

export const width = 6;
export const rows = 5;

/** A layer whose `call` is the user's own code; it may hold others in fields. */
export class Custom extends layers.Layer {
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

export const symbolic = (layer: Layer, x: unknown): SymbolicTensor =>
  layer.apply(x as SymbolicTensor) as SymbolicTensor;
export const dense = (name: string, units = width): Layer =>
  layers.dense({ units, name, inputShape: [width], kernelInitializer: 'glorotNormal' });
export const eager = (layer: Layer, x: tf.Tensor | tf.Tensor[]): tf.Tensor => layer.apply(x) as tf.Tensor;

/** One training step of a pass: the gradients by all weights are taken. */
export const train = (pass: () => tf.Tensor): void =>
  tf.tidy(() => void tf.variableGrads(() => tf.sum(tf.square(pass())) as tf.Scalar));

/** x + dense(x), then a head. */
export function residual(): LayersModel {
  const inputs = input({ shape: [width] });
  const sum = symbolic(layers.add({ name: 'sum' }), [inputs, symbolic(dense('mix'), inputs)]);
  return tfModel({ inputs, outputs: symbolic(dense('head', 2), sum) });
}
export const sumOf = (model: LayersModel, of: tf.Tensor): tf.Tensor => tf.add(of, eager(model.getLayer('mix'), of));

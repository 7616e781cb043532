/** What attached models' optimisers tell of a step. */
import * as tf from '@tensorflow/tfjs-core';

interface OptimizerLike {
  readonly learningRate?: unknown;
  readonly gradientNorm?: unknown;
}

/** tfjs's own optimisers keep their learning rate in a protected field. */
export function learningRateOf(models: readonly object[]): number | undefined {
  return optimizersOf(models)
    .map(({ learningRate }) => learningRate)
    .find((rate) => typeof rate === 'number');
}

/** Optimisers of outlierscope/optimizers that clip know the norm. */
export function gradientNormOf(models: readonly object[]): tf.Tensor | undefined {
  return optimizersOf(models)
    .map(({ gradientNorm }) => gradientNorm)
    .find((norm) => norm instanceof tf.Tensor);
}

function optimizersOf(models: readonly object[]): OptimizerLike[] {
  return models
    .map((model) => (model as { optimizer?: OptimizerLike | null }).optimizer)
    .filter((optimizer) => optimizer !== undefined && optimizer !== null);
}

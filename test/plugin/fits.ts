/** Small fits for the tests of callbacks: models, data, and callbacks of every kind, of any copy of tfjs-layers. */
import * as tf from '@tensorflow/tfjs-core';
import { array, zip } from '@tensorflow/tfjs-data';
import type * as tfLayers from '@tensorflow/tfjs-layers';
import type { OutlierMonitor } from 'outlierscope';

export type Layers = typeof tfLayers;
type FitArguments = NonNullable<Parameters<tfLayers.LayersModel['fit']>[2]>;

const width = 4;
const batchSize = 4;
export const xs = Array.from({ length: 16 }, (_, row) =>
  Array.from({ length: width }, (__, j) => Math.sin(row * 5 + j)),
);
export const ys = xs.map(([first = 0]) => [first]);

const optimizers: tf.Optimizer[] = [];

/** Gives back what the models of a test hold. */
export function disposeModels(): void {
  for (const optimizer of optimizers.splice(0)) optimizer.dispose();
  tf.disposeVariables();
}

/** A model with one residual sum; a Sequential holds it in a nested model. */
export function build(
  { input, layers, model, sequential }: Layers,
  kind: 'functional' | 'Sequential',
): tfLayers.LayersModel {
  const inputs = input({ shape: [width] });
  const mixed = layers.dense({ units: width, name: 'mix' }).apply(inputs) as tfLayers.SymbolicTensor;
  const sum = layers.add({ name: 'sum' }).apply([inputs, mixed]) as tfLayers.SymbolicTensor;
  const head = layers.dense({ units: 1, name: 'head' });
  const built =
    kind === 'functional'
      ? model({ inputs, outputs: head.apply(sum) as tfLayers.SymbolicTensor })
      : sequential({
          layers: [
            layers.dense({ units: width, inputShape: [width], name: 'first' }),
            model({ inputs, outputs: sum, name: 'block' }),
            head,
          ],
        });
  const optimizer = tf.train.sgd(0.01);
  optimizers.push(optimizer);
  built.compile({ optimizer, loss: 'meanSquaredError' });
  return built;
}

export const fits: Record<'fit' | 'fitDataset', (model: tfLayers.LayersModel, args: FitArguments) => Promise<unknown>> =
  {
    fit: async (model, args) => {
      const [x, y] = [tf.tensor2d(xs), tf.tensor2d(ys)];
      try {
        await model.fit(x, y, { batchSize, epochs: 2, verbose: 0, validationData: [x, y], ...args });
      } finally {
        tf.dispose([x, y]);
      }
    },
    fitDataset: async (model, args) => {
      const dataset = zip({ xs: array(xs), ys: array(ys) }).batch(batchSize);
      const { yieldEvery, callbacks } = args as { yieldEvery: never; callbacks: never };
      await model.fitDataset(dataset, { epochs: 2, verbose: 0, validationData: dataset, yieldEvery, callbacks });
    },
  };

/** Callbacks of every kind, made for one fit; `seen` counts the calls of the plain ones. */
export function callbacksFor(monitor: OutlierMonitor, copy: Layers, seen: string[]) {
  const plain = { onEpochEnd: async () => void seen.push('plain'), onYield: () => void seen.push('yield') };
  return {
    monitor,
    plain,
    custom: new copy.CustomCallback({ onBatchEnd: async () => void seen.push('custom') }),
    early: new copy.EarlyStopping({ monitor: 'val_loss', patience: 9 }),
  };
}

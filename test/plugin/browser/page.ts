/** A training page as a user would write it, and the parity cases; bundled and run in Chromium by browser.test.ts. */
import '@tensorflow/tfjs-backend-cpu';
import '@tensorflow/tfjs-backend-webgl';
import { setWasmPaths } from '@tensorflow/tfjs-backend-wasm';
import * as tf from '@tensorflow/tfjs-core';
import {
  initializers,
  input,
  type LayersModel,
  layers,
  type SymbolicTensor,
  model as tfModel,
} from '@tensorflow/tfjs-layers';
import { outlierMonitor } from 'outlierscope';
import type { SiteMeasurement } from '../../../plugin/measure/site.ts';
import { type ParityCase, parityCases } from '../parity-cases.ts';
import { measureStep, type Place } from '../parity-step.ts';

export interface Trained {
  readonly runId: string;
  readonly report: { readonly accepted: number; readonly delivered: number };
  readonly faults: number;
  readonly warnings: readonly string[];
  readonly tensorsLeft: number;
}

const width = 16;

/** The same weights and data on every backend. */
function build(): LayersModel {
  const inputs = input({ shape: [8, width] });
  let x = inputs as SymbolicTensor;
  for (let block = 0; block < 3; block++) {
    const kernelInitializer = initializers.randomNormal({ stddev: 0.3, seed: block + 1 });
    const branch = layers
      .dense({ units: width, kernelInitializer, activation: 'relu', name: `h${block}_mlp` })
      .apply(x);
    x = layers.add({ name: `h${block}_add` }).apply([x, branch as SymbolicTensor]) as SymbolicTensor;
  }
  const model = tfModel({ inputs, outputs: x });
  model.compile({ optimizer: tf.train.sgd(0.05), loss: 'meanSquaredError' });
  return model;
}

const trial = {
  async start(backend: string): Promise<boolean> {
    setWasmPaths('/wasm/');
    return tf.setBackend(backend);
  },

  /** Trains with `model.fit`, in line delivery by the page's own WebSocket. */
  async train(url: string, token?: string): Promise<Trained> {
    const warnings: string[] = [];
    const model = build();
    const data = tf.randomNormal([40, 8, width], 0, 1, 'float32', 7);
    const targets = tf.zerosLike(data);
    const before = tf.memory().numTensors;
    const monitor = outlierMonitor({
      url,
      run: 'in a browser',
      every: 2,
      warn: (text) => warnings.push(text),
      ...(token !== undefined && { token }),
    });
    await model.fit(data, targets, {
      epochs: 2,
      batchSize: 8,
      shuffle: false,
      verbose: 0,
      callbacks: [monitor],
    });
    const report = await monitor.close();
    return {
      runId: monitor.runId,
      report,
      faults: monitor.faults,
      warnings,
      tensorsLeft: tf.memory().numTensors - before,
    };
  },

  /** Parity cases through the probe, by their names. */
  measure(place: Place, names: readonly string[]): SiteMeasurement[] {
    return names.map((name) => measureStep(place, parityCases.find((each) => each.name === name) as ParityCase));
  },
};

export type Trial = typeof trial;
(globalThis as { trial?: Trial }).trial = trial;

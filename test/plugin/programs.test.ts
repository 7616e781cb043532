/** Programs as people really write them: a GPT of plain operations, gradient accumulation, a fitDataset with everything. */
import * as tf from '@tensorflow/tfjs-core';
import { array, zip } from '@tensorflow/tfjs-data';
import {
  CustomCallback,
  EarlyStopping,
  type LayersModel,
  layers,
  type SymbolicTensor,
  sequential,
  model as tfModel,
} from '@tensorflow/tfjs-layers';
import type { StepMeasurement } from 'outlierscope';
import { gpt } from 'outlierscope/op-block';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { attentionEntropy, gradientKurtosis, gradientRms, type Matrix } from '../reference/metrics.ts';
import { describeNative } from '../support/native.ts';
import { expectMeasured, rowsOf, tidily } from './expected.ts';
import { createRawGpt, type RawGpt, type Taps } from './programs/raw-gpt.ts';
import { watching } from './watching.ts';

const size = { vocabulary: 13, width: 16, heads: 2, blocks: 2, positions: 8 };

describeNative('a program', () => {
  const { monitor: monitorOf, stored } = watching();
  let before: number;
  let model: RawGpt | undefined;
  beforeEach(() => {
    before = tf.memory().numTensors;
  });
  afterEach(() => {
    model?.dispose();
    model = undefined;
    tf.disposeVariables();
    expect(tf.memory().numTensors).toBe(before);
  });

  const tokens = (seed: number, rows = 4): tf.Tensor2D =>
    tf.randomUniform([rows, size.positions], 0, size.vocabulary, 'int32', seed);

  test('of plain operations in an optimizer.minimize loop is measured where it is tapped', async () => {
    const monitor = monitorOf({ every: 3 });
    // What went through the taps, by the program's own hand.
    const seen: Record<string, Matrix> = {};
    const taps: Taps = {
      tap: (name, x) => {
        seen[name] = rowsOf(x);
        return monitor.tap(name, x);
      },
      tapAttention: (name, given) => {
        seen[name] = rowsOf(given.weights as tf.Tensor);
        monitor.tapAttention(name, given);
      },
    };
    const raw = createRawGpt(size, taps);
    model = raw;
    const optimizer = tf.train.adam(0.01);
    const losses: number[] = [];
    for (let step = 0; step < 8; step++) {
      tf.tidy(() => {
        const [x, y] = [tokens(step), tokens(step + 100)];
        const loss = optimizer.minimize(() => raw.loss(x, y), true) as tf.Scalar;
        losses.push(loss.dataSync()[0] as number);
        monitor.stepSync({ loss, learningRate: 0.01 });
      });
      if (step % 3 !== 0) continue;
      for (const site of ['h0', 'h1']) {
        expectMeasured(monitor.latest, `${site}/residual`, seen[`${site}/residual`] as Matrix);
        expect(monitor.latest?.sites.get(`${site}/residual`)?.metrics.gradient_rms).toBeGreaterThan(0);
        const entropy = monitor.latest?.sites.get(`${site}/attention`)?.metrics.attention_entropy;
        expect(entropy).toBeCloseTo(attentionEntropy(seen[`${site}/attention`] as Matrix), 4);
        expect(entropy).toBeLessThan(Math.log(size.positions));
      }
    }
    const run = await stored(monitor);
    expect(run.steps).toEqual([0, 3, 6]);
    expect(run.sites).toEqual(['h0/attention', 'h0/residual', 'h1/attention', 'h1/residual']);
    expect(run.scalars['loss']).toEqual([0, 3, 6].map((step) => losses[step]));
    expect(monitor.faults).toBe(0);
    optimizer.dispose();
  });

  test('that accumulates gradients over micro-batches is measured over all of their rows', async () => {
    const monitor = monitorOf();
    const gradients = new Map<string, Matrix>();
    const inputs = new Map<string, Matrix>();
    const collect = (into: Map<string, Matrix>, name: string, x: tf.Tensor): void => {
      into.set(name, [...(into.get(name) ?? []), ...rowsOf(x)]);
    };
    // The gradients by the program's own hand: an identity that looks at what comes back.
    const taps: Taps = {
      tap: (name, x) => {
        const look = tf.customGrad((of) => {
          collect(inputs, name, of as tf.Tensor);
          return {
            value: tf.clone(of as tf.Tensor),
            gradFunc: (dy: tf.Tensor) => {
              collect(gradients, name, dy);
              return dy;
            },
          };
        });
        return monitor.tap(name, look(x) as typeof x);
      },
      tapAttention: () => {},
    };
    const raw = createRawGpt(size, taps);
    model = raw;
    const optimizer = tf.train.sgd(0.1);
    for (let step = 0; step < 2; step++) {
      for (const seen of [gradients, inputs]) seen.clear();
      const sums: Record<string, tf.Tensor> = {};
      let total = 0;
      for (let micro = 0; micro < 4; micro++) {
        const batch = [tokens(10 * step + micro, 2 + micro), tokens(10 * step + micro + 50, 2 + micro)] as const;
        const { value, grads } = tf.variableGrads(() => tf.div(raw.loss(...batch), 4));
        total += value.dataSync()[0] as number;
        for (const [name, grad] of Object.entries(grads)) {
          const sum = sums[name];
          sums[name] = sum === undefined ? tf.clone(grad) : tf.add(sum, grad);
          sum?.dispose();
        }
        tf.dispose([value, grads, ...batch]);
      }
      optimizer.applyGradients(sums);
      tf.dispose(sums);
      await monitor.step({ loss: total });
      for (const site of ['h0/residual', 'h1/residual']) {
        expect(inputs.get(site)).toHaveLength((2 + 3 + 4 + 5) * size.positions);
        expectMeasured(monitor.latest, site, inputs.get(site) as Matrix);
        const metrics = monitor.latest?.sites.get(site)?.metrics;
        expect(metrics?.gradient_rms).toBeCloseTo(gradientRms(gradients.get(site) as Matrix), 6);
        expect(metrics?.gradient_kurtosis).toBeCloseTo(gradientKurtosis(gradients.get(site) as Matrix), 3);
      }
    }
    expect((await stored(monitor)).steps).toEqual([0, 1]);
    expect(monitor.faults).toBe(0);
    optimizer.dispose();
  });

  const kinds: [string, (core: LayersModel) => LayersModel, string[]][] = [
    ['functional', (core) => core, ['h0_attention_add', 'h0_mlp_add', 'h1_attention_add', 'h1_mlp_add']],
    [
      'Sequential',
      (core) => sequential({ layers: [core] }),
      ['h0_attention_add', 'h0_mlp_add', 'h1_attention_add', 'h1_mlp_add'],
    ],
  ];
  test.each(kinds)('with fitDataset, mixed callbacks and validation: a %s GPT', async (_, wrapped, sites) => {
    const { heads, ...rest } = size;
    const logits = gpt({ ...rest, heads, seed: 3 });
    const softmax = layers.softmax({ axis: -1 }).apply(logits.outputs) as SymbolicTensor;
    const core = tfModel({ inputs: logits.inputs, outputs: softmax });
    const trained = wrapped(core);
    const optimizer = tf.train.adam(0.01);
    trained.compile({ optimizer, loss: 'sparseCategoricalCrossentropy' });
    const rows = Array.from({ length: 24 }, (__, row) =>
      Array.from({ length: size.positions + 1 }, (___, position) => (row * 3 + position * 2) % size.vocabulary),
    );
    const x = rows.map((row) => row.slice(0, -1));
    const y = rows.map((row) => row.slice(1).map((token) => [token]));
    const dataset = zip({ xs: array(x), ys: array(y) }).batch(4);

    // The first batch before the first update, by another road.
    const expected = tidily(() => {
      const outputs = sites.map((name) => core.getLayer(name).output) as SymbolicTensor[];
      const first = tf.tensor2d(x.slice(0, 4));
      return (tfModel({ inputs: core.inputs, outputs }).predict(first) as tf.Tensor[]).map((output) => rowsOf(output));
    });
    const monitor = monitorOf({ every: 5 });
    const measured: StepMeasurement[] = [];
    const events: string[] = [];
    await trained.fitDataset(dataset, {
      epochs: 3,
      verbose: 0,
      validationData: dataset,
      callbacks: [
        {
          onEpochBegin: async (epoch: number) => {
            events.push(`epoch ${epoch}`);
          },
        },
        new EarlyStopping({ monitor: 'val_loss', patience: 3 }),
        monitor,
        new CustomCallback({ onBatchEnd: async () => void (monitor.latest && measured.push(monitor.latest)) }),
      ] as never,
    });
    const run = await stored(monitor);
    expect(run.steps).toEqual([0, 5, 10, 15, 17]);
    expect(run.sites).toEqual(sites);
    // What validation gave comes with the next frame.
    expect(run.scalars['val_loss']?.map((value) => value !== null)).toEqual([false, false, true, true, true]);
    expect(events).toEqual(['epoch 0', 'epoch 1', 'epoch 2']);
    for (const [index, site] of sites.entries()) expectMeasured(measured[0], site, expected[index] as Matrix);
    expect(monitor.faults).toBe(0);
    optimizer.dispose();
  });
});

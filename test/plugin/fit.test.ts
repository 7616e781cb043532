/** A real model.fit on native TensorFlow, through the callback, over a real websocket, into a real server. */
import * as tf from '@tensorflow/tfjs-core';
import { model as createModel, EarlyStopping, type LayersModel, layers, sequential } from '@tensorflow/tfjs-layers';
import { type OutlierMonitor, outlierMonitor } from 'outlierscope';
import { gpt } from 'outlierscope/op-block';
import { AdamW } from 'outlierscope/optimizers';
import { type RunningServer, startServer } from 'outlierscope/server';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { inputCorrelation, kurtosis, maxMedianRatio } from '../reference/metrics.ts';
import { describeNative } from '../support/native.ts';

const size = { vocabulary: 50, width: 32, blocks: 2, heads: 2, positions: 16, seed: 3 };
const examples = 48;
const batchSize = 8;

describeNative('a monitor in model.fit', () => {
  let server: RunningServer;
  beforeAll(async () => {
    server = await startServer({ port: 0, database: ':memory:' });
  });
  afterAll(() => server.close());

  const watch = (options: Parameters<typeof outlierMonitor>[0] = {}): OutlierMonitor =>
    outlierMonitor({ url: server.url.replace(/^http/, 'ws'), run: 'fit', every: 2, warn: () => {}, ...options });
  const ask = async <Answer>(path: string): Promise<Answer> =>
    (await (await fetch(`${server.url}/api/runs/${path}`)).json()) as Answer;

  test('stores a frame for every sampled step, with the loss, and says what was delivered', async () => {
    const monitor = watch();
    const { model, x, y } = build();
    const history = await model.fit(x, y, { batchSize, epochs: 2, verbose: 0, callbacks: [monitor] });
    const report = await monitor.close();

    expect(report).toMatchObject({ accepted: 6, delivered: 6, dropped: 0, undelivered: 0 });
    const series = await ask<{
      steps: number[];
      sites: string[];
      scalars: { loss: number[]; learning_rate: number[] };
    }>(`${monitor.runId}/series?metric=kurtosis`);
    expect(series.steps).toEqual([0, 2, 4, 6, 8, 10]);
    expect(series.sites).toEqual(['h0_attention_add', 'h0_mlp_add', 'h1_attention_add', 'h1_mlp_add']);
    expect(series.scalars.loss[0]).toBeGreaterThan(history.history['loss']?.[1] as number);
    expect(series.scalars.learning_rate).toEqual(series.steps.map(() => 0.01));
    expect((await ask<{ state: string }>(monitor.runId)).state).toBe('finished');
    expect(monitor.faults).toBe(0);
  });

  test('measures the activations of the training batch itself', async () => {
    const monitor = watch();
    const { model, x, y } = build();
    const residual = createModel({
      inputs: model.inputs,
      outputs: model.layers
        .filter(({ name }) => name.endsWith('_add'))
        .map(({ output }) => output as tf.Tensor & never),
    });
    // What the first batch gives before the first update: by another road, and by naive float64 arithmetic.
    const outputs = residual.predict(tf.slice(x, 0, batchSize)) as tf.Tensor[];
    const expected = outputs.map((output) => {
      const rows = Array.from({ length: batchSize * size.positions }, (_, row) =>
        Array.from(output.dataSync().subarray(row * size.width, (row + 1) * size.width)),
      );
      return { kurtosis: kurtosis(rows), correlation: inputCorrelation(rows), ratio: maxMedianRatio(rows), rows };
    });
    await model.fit(x, y, { batchSize, epochs: 1, shuffle: false, verbose: 0, callbacks: [monitor] });
    await monitor.close();

    const frame = await ask<{ step: number; values: Record<string, number[]>; topNeurons: unknown[][] }>(
      `${monitor.runId}/frames/0`,
    );
    expect(frame.step).toBe(0);
    for (const [site, reference] of expected.entries()) {
      const flat = reference.rows.flat();
      expect(frame.values['kurtosis']?.[site]).toBeCloseTo(reference.kurtosis, 4);
      expect(frame.values['input_correlation']?.[site]).toBeCloseTo(reference.correlation, 5);
      expect(frame.values['absmax']?.[site]).toBeCloseTo(Math.max(...flat.map(Math.abs)), 5);
      expect(frame.values['rms']?.[site]).toBeCloseTo(
        Math.sqrt(flat.reduce((sum, v) => sum + v * v, 0) / flat.length),
        6,
      );
      // 128 rows, of which 64 are looked at: near, not equal.
      expect((frame.values['max_median_ratio']?.[site] as number) / reference.ratio).toBeCloseTo(1, 0);
      expect(frame.values['nonfinite']?.[site]).toBe(0);
      expect(frame.topNeurons[site]).toHaveLength(5);
    }
  });

  test('leaves no tensor behind, and layers as they were', async () => {
    const { model, x, y } = build();
    const calls = model.layers.map((layer) => layer.call);
    await model.fit(x, y, { batchSize, epochs: 1, verbose: 0 });
    const before = tf.memory().numTensors;
    const monitor = watch({ every: 1 });
    await model.fit(x, y, { batchSize, epochs: 1, verbose: 0, callbacks: [monitor] });
    expect((await monitor.close()).delivered).toBe(6);
    expect(tf.memory().numTensors).toBe(before);
    expect(model.layers.map((layer) => layer.call)).toEqual(calls);
    expect(model.layers.filter((layer) => Object.hasOwn(layer, 'call'))).toEqual([]);
  });

  test('trains exactly as without it', async () => {
    const [plain, watched] = [build(), build()];
    await plain.model.fit(plain.x, plain.y, { batchSize, epochs: 1, shuffle: false, verbose: 0 });
    const monitor = watch({ every: 1 });
    await watched.model.fit(watched.x, watched.y, {
      batchSize,
      epochs: 1,
      shuffle: false,
      verbose: 0,
      callbacks: [monitor],
    });
    await monitor.close();
    for (const [index, weight] of watched.model.getWeights().entries()) {
      const other = plain.model.getWeights()[index] as tf.Tensor;
      expect(Array.from(weight.dataSync())).toEqual(Array.from(other.dataSync()));
    }
  });

  test('sees neither validation nor predictions', async () => {
    const { model, x, y } = build();
    const monitor = watch({ every: 1 });
    monitor.attach(model);
    tf.dispose(model.predict(x));
    await model.fit(x, y, {
      batchSize,
      epochs: 1,
      verbose: 0,
      validationData: [x, y],
      callbacks: [monitor, new EarlyStopping({ monitor: 'val_loss', patience: 5 })],
    });
    // Six training batches, and what validation gave after the last of them.
    expect((await monitor.close()).accepted).toBe(7);
    expect(monitor.faults).toBe(0);
    const { scalars, values } = await ask<{ scalars: Record<string, number>; values: Record<string, number[]> }>(
      `${monitor.runId}/frames/5`,
    );
    expect(scalars['val_loss']).toBeGreaterThan(0);
    expect(values['kurtosis']).toEqual([null, null, null, null]);
  });

  test('lists what there is when no layer matches', () => {
    const model = sequential({ layers: [layers.dense({ units: 4, inputShape: [3], name: 'only' })] });
    expect(() => watch().attach(model)).toThrow(/no layer is part of a residual stream.*only \(Dense, custom\)/s);
    const { model: transformer } = build();
    expect(() => watch({ sites: ['h0_mlp_add', 'h7_mlp_add'] }).attach(transformer)).toThrow(
      /no layer matches h7_mlp_add/,
    );
  });

  test('trains on when there is no server, with one warning, and counts what was not delivered', async () => {
    const warnings: string[] = [];
    const monitor = outlierMonitor({ url: 'ws://127.0.0.1:1', every: 1, warn: (text) => warnings.push(text) });
    const { model, x, y } = build();
    await model.fit(x, y, { batchSize, epochs: 1, verbose: 0, callbacks: [monitor] });
    const report = await monitor.close({ deadlineMilliseconds: 1500 });
    expect(report).toMatchObject({ accepted: 6, delivered: 0, dropped: 0, undelivered: 6 });
    expect(warnings).toHaveLength(1);
    expect(warnings[0]).toMatch(/no server at ws:\/\/127\.0\.0\.1:1 .*training goes on/);
  });
});

function build(): { model: LayersModel; x: tf.Tensor2D; y: tf.Tensor3D } {
  const logits = gpt(size);
  const probabilities = layers.softmax({ axis: -1 }).apply(logits.outputs);
  const model = createModel({ inputs: logits.inputs, outputs: probabilities as never });
  model.compile({ optimizer: new AdamW({ learningRate: 0.01, clipNorm: 1 }), loss: 'sparseCategoricalCrossentropy' });
  const tokens = (seed: number) =>
    tf.randomUniform([examples, size.positions], 0, size.vocabulary, 'int32', seed) as tf.Tensor2D;
  const y = tf.tidy(() => tf.cast(tf.expandDims(tokens(2), -1), 'float32')) as tf.Tensor3D;
  return { model, x: tokens(1), y };
}

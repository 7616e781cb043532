/** npm's gpt-tfjs, unmodified, training by its own `train()`: a custom loop over nested models with attention of its own. */
import * as tf from '@tensorflow/tfjs-core';
import { array } from '@tensorflow/tfjs-data';
import { type LayersModel, model as tfModel } from '@tensorflow/tfjs-layers';
import type { AttentionAdapter, StepMeasurement } from 'outlierscope';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { attentionEntropy, type Matrix } from '../reference/metrics.ts';
import { describeNative } from '../support/native.ts';
import { expectMeasured, rowsOf, tidily } from './expected.ts';
import { requireQuietly } from './quietly.ts';
import { watching } from './watching.ts';

/** What is used of gpt-tfjs 0.0.5, which brings no types. */
interface GptTfjs {
  readonly model: { GPTLMHeadModel(config: object): GptModel };
}
interface GptModel {
  readonly model: LayersModel;
  train(dataset: object, config: object): Promise<void>;
}
type TrainCallback = (model: LayersModel, loss: number, iteration: number) => Promise<void>;

const { model: gptTfjs } = requireQuietly<GptTfjs>('gpt-tfjs', import.meta.url);

const [blocks, width, heads, positions, vocabulary, batchSize] = [2, 16, 2, 8, 11, 4];
const iterations = 7;
const sites = ['add_0', ...[0, 1].flatMap((block) => [0, 1].map((add) => `transformer/h/${block}/add_${add}`))];

/** Sequences that count upwards from one of the tokens; each target is the next token. */
const examples = Array.from({ length: iterations * batchSize }, (_, example) => {
  const tokens = Array.from({ length: positions + 1 }, (__, position) => (example * 3 + position * 2) % vocabulary);
  const y = tokens.slice(1).map((token) => Array.from({ length: vocabulary }, (__, each) => (each === token ? 1 : 0)));
  return { x: tokens.slice(0, -1), y };
});

interface AttentionWeights {
  readonly cAttnKernel: { read(): tf.Tensor2D };
  readonly cAttnBias: { read(): tf.Tensor1D };
  readonly nHead: number;
}

/** gpt-tfjs's attention once more: softmax(Q K^T / sqrt(D)) under a causal mask. */
function attentionOf(layer: object, inputs: tf.Tensor): { weights: tf.Tensor; logits: tf.Tensor } {
  const { cAttnKernel, cAttnBias, nHead } = layer as AttentionWeights;
  const [batch, length, channels] = inputs.shape as [number, number, number];
  const rows = tf.reshape(inputs, [batch * length, channels]);
  const projected = tf.reshape(tf.add(tf.matMul(rows, cAttnKernel.read()), cAttnBias.read()), [batch, length, -1]);
  const [query, key] = tf
    .split(projected, 3, -1)
    .map((part) => tf.transpose(tf.reshape(part, [batch, length, nHead, channels / nHead]), [0, 2, 1, 3])) as [
    tf.Tensor,
    tf.Tensor,
  ];
  const hidden = tf.sub(1, tf.linalg.bandPart(tf.ones([length, length]), -1, 0));
  const scores = tf.mul(tf.matMul(query, key, false, true), 1 / Math.sqrt(channels / nHead));
  const logits = tf.add(scores, tf.mul(hidden, -1e9)); // [B, H, T, T]
  return { weights: tf.softmax(logits), logits };
}

const adapter: AttentionAdapter = ({ layer, inputs }) =>
  attentionOf(layer, (Array.isArray(inputs) ? inputs[0] : inputs) as tf.Tensor);

describeNative('gpt-tfjs', () => {
  const { monitor: monitorOf, stored } = watching();
  let before: number;
  beforeEach(() => {
    before = tf.memory().numTensors;
  });
  afterEach(() => {
    tf.disposeVariables();
    expect(tf.memory().numTensors).toBe(before);
  });

  const build = (): GptModel =>
    gptTfjs.GPTLMHeadModel({
      nLayer: blocks,
      nHead: heads,
      nEmbd: width,
      vocabSize: vocabulary,
      blockSize: positions,
      dropout: 0,
      embdDrop: 0,
      residDrop: 0,
    });

  /** Trains, and gives how many tensors that left: those of its optimiser. */
  async function train(gpt: GptModel, callbacks: TrainCallback[]): Promise<number> {
    const start = tf.memory().numTensors;
    await gpt.train(array(examples), { maxIter: iterations, batchSize, shuffle: 'none', lr: 0.01, callbacks });
    return tf.memory().numTensors - start;
  }

  test('trains by its own train(), and the residual stream of its nested blocks is measured', async () => {
    const plain = build();
    const left = await train(plain, []);
    const gpt = build();
    const monitor = monitorOf({ every: 2, attention: { CausalSelfAttention: adapter } });
    monitor.attach(gpt.model);
    const seen: StepMeasurement[] = [];
    let expected: Record<string, Matrix> = {};
    const watched = await train(gpt, [
      async (_model, loss, iteration) => {
        await monitor.step({ loss, learningRate: 0.01 });
        const { latest } = monitor as { latest: StepMeasurement };
        expect(latest.step).toBe(iteration - 1 - ((iteration - 1) % 2));
        if (seen.at(-1) !== latest) seen.push(latest);
        if (iteration === iterations - 1) expected = forward(gpt.model, iteration);
      },
    ]);
    expect(watched).toBe(left);
    expect(monitor.faults).toBe(0);
    expect(seen.map(({ step }) => step)).toEqual([0, 2, 4, 6]);

    const run = await stored(monitor);
    expect(run.steps).toEqual([0, 2, 4, 6]);
    expect(run.sites).toEqual([...sites.slice(0, 1), ...withAttention()]);
    expect(run.scalars['loss']?.[3]).toBeLessThan(run.scalars['loss']?.[0] as number);

    // The embeddings start at zero: nothing to be said of the shape of the stream before the first update.
    expect(seen[0]?.sites.get('add_0')?.metrics).toMatchObject({ rms: 0, kurtosis: Number.NaN });
    for (const { sites: measured } of seen.slice(1)) {
      for (const site of sites) {
        const { metrics } = measured.get(site) as { metrics: Record<string, number> };
        expect(metrics['kurtosis']).toBeGreaterThanOrEqual(1);
        expect(metrics['kurtosis']).toBeLessThanOrEqual(width);
        expect(Math.abs(metrics['input_correlation'] as number)).toBeLessThanOrEqual(1);
        expect(metrics['gradient_rms']).toBeGreaterThan(0);
        expect(Number.isFinite(metrics['max_median_ratio'])).toBe(true);
        expect(metrics['nonfinite']).toBe(0);
      }
    }

    // The last step, from the weights before it, by another road.
    for (const site of sites) expectMeasured(monitor.latest, site, expected[site] as Matrix);
    for (const block of [0, 1]) {
      const site = `transformer/h/${block}/attn`;
      const { attention_entropy: entropy, max_attention_logit: largest } =
        monitor.latest?.sites.get(site)?.metrics ?? {};
      expect(entropy).toBeCloseTo(attentionEntropy(expected[`${site} weights`] as Matrix), 4);
      expect(entropy).toBeGreaterThan(0);
      expect(entropy).toBeLessThan(Math.log(positions));
      expect(Number.isFinite(largest)).toBe(true);
    }
    before += 2 * masks;
  });

  test('may be attached as the object that is around its model', async () => {
    const gpt = build();
    const monitor = monitorOf();
    monitor.attach(gpt);
    await train(gpt, [async (_model, loss) => monitor.stepSync({ loss })]);
    expect([...(monitor.latest?.sites.keys() ?? [])]).toEqual(sites);
    expect((await stored(monitor)).steps).toHaveLength(iterations);
    before += masks;
  });
});

/** The sites of the blocks in the order in which they run: attention comes before the sum it goes into. */
function withAttention(): string[] {
  return [0, 1].flatMap((block) => {
    const path = `transformer/h/${block}`;
    return [`${path}/attn`, `${path}/add_0`, `${path}/add_1`];
  });
}

/** Each attention layer keeps its causal mask, and what it made it from. */
const masks = 2 * blocks;

/** All sites' activations for the batch of an iteration (from 0), by models of the layers' outputs, outside of training. */
function forward(model: LayersModel, iteration: number): Record<string, Matrix> {
  return tidily(() => {
    const batch = examples.slice(iteration * batchSize, (iteration + 1) * batchSize).map(({ x }) => x);
    const first = model.layers.find((layer) => layer.getClassName() === 'Add');
    let stream = tfModel({ inputs: model.inputs, outputs: first?.output as never }).predict(
      tf.tensor2d(batch),
    ) as tf.Tensor;
    const expected: Record<string, Matrix> = { add_0: rowsOf(stream) };
    for (const block of [0, 1]) {
      const path = `transformer/h/${block}`;
      const nested = model.getLayer(path) as LayersModel;
      const adds = nested.layers.filter((layer) => layer.getClassName() === 'Add');
      const norm = nested.getLayer(`${path}/ln_1`).apply(stream) as tf.Tensor;
      expected[`${path}/attn weights`] = rowsOf(attentionOf(nested.getLayer(`${path}/attn`), norm).weights);
      const outputs = tfModel({ inputs: nested.inputs, outputs: adds.map(({ output }) => output) as never });
      const [middle, end] = outputs.predict(stream) as [tf.Tensor, tf.Tensor];
      expected[`${path}/add_0`] = rowsOf(middle);
      expected[`${path}/add_1`] = rowsOf(end);
      stream = end;
    }
    return expected;
  });
}

/** The demo's training: a Pre-Norm GPT learns to continue source code. This is what a user's own program looks like. */
import * as tf from '@tensorflow/tfjs-core';
import { Callback, model as createModel, type LayersModel, layers, type SymbolicTensor } from '@tensorflow/tfjs-layers';
import type { OutlierMonitor } from '../../plugin/index.ts';
import { gpt } from '../../plugin/op-block/index.ts';
import { AdamW } from '../../plugin/optimizers/index.ts';
import { randomWindows, seededRandom } from './batches.ts';
import type { DemoSettings } from './settings.ts';
import { readCorpus } from './text.ts';

export interface TrainingProgress {
  /** Steps done. */
  readonly step: number;
  readonly loss: number;
}

/** Builds the model; `tokens` in, a probability for every word of the vocabulary out. */
export function buildModel(settings: DemoSettings, seed: number): LayersModel {
  const { vocabulary, width, blocks, heads, positions, learningRate, warmUpSteps, epsilon, clipNorm } = settings;
  const logits = gpt({ vocabulary, width, blocks, heads, positions, seed });
  const probabilities = layers.softmax({ axis: -1, name: 'probabilities' }).apply(logits.outputs) as SymbolicTensor;
  const model = createModel({ inputs: logits.inputs, outputs: probabilities, name: 'gpt' });
  model.compile({
    optimizer: new AdamW({
      learningRate: (step) => learningRate * Math.min(1, (step + 1) / warmUpSteps),
      epsilon,
      clipNorm,
    }),
    loss: 'sparseCategoricalCrossentropy',
  });
  return model;
}

/** Trains for a number of steps; the monitor is a callback like any other. */
export async function train(
  model: LayersModel,
  settings: DemoSettings,
  {
    steps,
    seed,
    monitor,
    onStep,
  }: { steps: number; seed: number; monitor: OutlierMonitor; onStep: (progress: TrainingProgress) => void },
): Promise<void> {
  const { vocabulary, positions, batch } = settings;
  const { inputs, targets } = randomWindows(
    readCorpus(vocabulary).tokens,
    steps * batch,
    positions,
    seededRandom(seed),
  );
  const x = tf.tensor2d(inputs, [steps * batch, positions], 'int32');
  const y = tf.tensor3d(Float32Array.from(targets), [steps * batch, positions, 1]); // tfjs's sparse loss takes floats only
  try {
    await model.fit(x, y, {
      batchSize: batch,
      epochs: 1,
      shuffle: false,
      verbose: 0,
      callbacks: [monitor, new Reporter(onStep)],
    });
  } finally {
    tf.dispose([x, y]);
  }
}

/** Tells how far it is after every step. */
class Reporter extends Callback {
  private readonly onStep: (progress: TrainingProgress) => void;

  constructor(onStep: (progress: TrainingProgress) => void) {
    super();
    this.onStep = onStep;
  }

  override async onBatchEnd(batch: number, logs?: Record<string, number | tf.Scalar>): Promise<void> {
    const loss = logs?.['loss'];
    this.onStep({ step: batch + 1, loss: typeof loss === 'number' ? loss : ((await loss?.data())?.[0] ?? Number.NaN) });
  }
}

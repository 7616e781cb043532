/**
 * How much more tensor memory a sampled step needs at its peak than one that is not sampled.
 *
 * The peak is exact: the engine's own count of tensor bytes is watched at every change, backward pass included. It counts
 * what TensorFlow.js holds; what a kernel takes for itself while it runs is not in it.
 */
import * as tf from '@tensorflow/tfjs-core';
import type { MetricGroup } from '../src/catalogue.ts';
import type { Bench, Result, Setting } from './support/bench.ts';
import { built } from './support/built.ts';
import { median, medianRatio, type Round } from './support/statistics.ts';
import { demoTraining, trainInBlocks } from './support/training.ts';

const arms = ['unsampled', 'sampled', 'sampled_full'] as const;
type Arm = (typeof arms)[number];
const lengths = { full: 5, quick: 1 } as const;

export const memory: Bench = {
  name: 'memory',
  description: "peak tensor bytes of a sampled training step of the demo's GPT over those of an unsampled one",
  requirements: [{ figure: 'ratio', must: 'at most', limit: 1.02 }],
  run: measure,
};

async function measure({ length, progress }: Setting): Promise<Result> {
  const training = await demoTraining();
  const { outlierMonitor } = await built<typeof import('../plugin/index.ts')>('plugin/index.js');
  const monitor = (every: number, metrics: MetricGroup) => {
    const made = outlierMonitor({ every, metrics, warn: () => {} }); // nothing is delivered: no server, no tensors
    made.setModel(training.model);
    return made;
  };
  // The first step of the first one is sampled, and falls into the warm-up.
  const monitors = {
    unsampled: monitor(1_000_000, 'standard'),
    sampled: monitor(1, 'standard'),
    sampled_full: monitor(1, 'full'),
  };
  const count = lengths[length] + 1;
  const blocks = Array.from({ length: count }, () => arms.map((arm) => ({ arm, steps: 1 }))).flat();
  const peaks: Record<Arm, number>[] = Array.from({ length: count }, () => ({
    unsampled: 0,
    sampled: 0,
    sampled_full: 0,
  }));
  const bytes = watchBytes();
  try {
    await trainInBlocks(
      training,
      blocks,
      () => monitors,
      bytes.meter,
      ({ arm }, index, peak) => {
        const round = Math.floor(index / arms.length);
        (peaks[round] as Record<Arm, number>)[arm] = peak;
        if (index % arms.length === arms.length - 1) progress(`round ${round + 1} of ${count}`);
      },
    );
  } finally {
    bytes.restore();
  }
  await Promise.all(Object.values(monitors).map((each) => each.close({ deadlineMilliseconds: 0 })));
  return evaluate(peaks.slice(1));
}

/** Follows the engine's count of tensor bytes. A meter gives the largest since it began. */
function watchBytes(): { meter: () => () => number; restore: () => void } {
  const { state } = tf.engine();
  let now = state.numBytes;
  let peak = now;
  Object.defineProperty(state, 'numBytes', {
    configurable: true,
    enumerable: true,
    get: () => now,
    set: (value: number) => {
      now = value;
      if (now > peak) peak = now;
    },
  });
  return {
    meter: () => {
      peak = now;
      return () => peak;
    },
    restore: () => {
      Object.defineProperty(state, 'numBytes', { configurable: true, enumerable: true, writable: true, value: now });
    },
  };
}

function evaluate(rounds: readonly Round<Arm>[]): Result {
  return {
    figures: {
      ratio: medianRatio<Arm>('sampled', 'unsampled')(rounds),
      full_ratio: medianRatio<Arm>('sampled_full', 'unsampled')(rounds),
    },
    intervals: {},
    details: {
      rounds: rounds.length,
      ...Object.fromEntries(arms.map((arm) => [`peak_mib_${arm}`, median(rounds.map((each) => each[arm])) / 2 ** 20])),
      peak: "largest value of the engine's numBytes during a step: weights, optimiser, activations, gradients, probe",
    },
  };
}

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
import { demoTraining, type Meter, trainInBlocks } from './support/training.ts';

const arms = ['unsampled', 'sampled', 'sampled_full'] as const;
type Arm = (typeof arms)[number];
const lengths = { full: 5, quick: 1 } as const;

export const memory: Bench = {
  name: 'memory',
  description: "peak tensor bytes of a sampled training step of the demo's GPT over those of an unsampled one",
  requirements: [{ figure: 'ratio', must: 'at most', limit: 1.02 }],
  run: measure,
};

async function measure(setting: Setting): Promise<Result> {
  const watch = watchBytes(); // from the start: what was there before it is not among the buffers
  try {
    return evaluate(await trainWatched(setting, watch.meter));
  } finally {
    watch.restore();
  }
}

async function trainWatched({ length, progress }: Setting, meter: Meter<Peak>): Promise<Round<Arm, Peak>[]> {
  const training = await demoTraining();
  const { outlierMonitor } = await built<typeof import('../plugin/index.ts')>('plugin/index.js');
  const monitor = (every: number, metrics: MetricGroup) => {
    const made = outlierMonitor({ every, metrics, warn: () => {} }); // nothing is delivered: no server, no tensors
    made.setModel(training.model);
    return made;
  };
  // The first round warms up, and the first step of `unsampled`, which is sampled, falls into it.
  const monitors = {
    unsampled: monitor(1_000_000, 'standard'),
    sampled: monitor(1, 'standard'),
    sampled_full: monitor(1, 'full'),
  };
  const count = lengths[length] + 1;
  const blocks = Array.from({ length: count }, () => arms.map((arm) => ({ arm, steps: 1 }))).flat();
  const peaks: Partial<Record<Arm, Peak>>[] = Array.from({ length: count }, () => ({}));
  await trainInBlocks(
    training,
    blocks,
    () => monitors,
    meter,
    ({ arm }, index, peak) => {
      const round = Math.floor(index / arms.length);
      (peaks[round] as Partial<Record<Arm, Peak>>)[arm] = peak;
      if (index % arms.length === arms.length - 1) progress(`round ${round + 1} of ${count}`);
    },
  );
  await Promise.all(Object.values(monitors).map((each) => each.close({ deadlineMilliseconds: 0 })));
  return peaks.slice(1) as Round<Arm, Peak>[];
}

interface Peak {
  /** As tf.memory().numBytes counts: a clone counts again. */
  readonly bytes: number;
  /** Each buffer once, however many tensors share it. */
  readonly bufferBytes: number;
}

/** Follows the engine's own count of tensor bytes, and its table of buffers. A meter gives the largest values since it began. */
function watchBytes(): { meter: Meter<Peak>; restore: () => void } {
  const { state } = tf.engine();
  const { tensorInfo } = state;
  const { set: add, delete: remove } = tensorInfo;
  const buffers = new WeakMap<object, number>();
  let [bytes, peakBytes, bufferBytes, peakBufferBytes] = [state.numBytes, 0, 0, 0];
  Object.defineProperty(state, 'numBytes', {
    configurable: true,
    enumerable: true,
    get: () => bytes,
    set: (value: number) => {
      bytes = value;
      peakBytes = Math.max(peakBytes, bytes);
    },
  });
  tensorInfo.set = (id, info) => {
    const size = tf.util.sizeFromShape(info.shape) * tf.util.bytesPerElement(info.dtype);
    buffers.set(id, size);
    bufferBytes += size;
    peakBufferBytes = Math.max(peakBufferBytes, bufferBytes);
    return add.call(tensorInfo, id, info);
  };
  tensorInfo.delete = (id) => {
    bufferBytes -= buffers.get(id) ?? 0;
    buffers.delete(id);
    return remove.call(tensorInfo, id);
  };
  return {
    meter: () => {
      [peakBytes, peakBufferBytes] = [bytes, bufferBytes];
      return () => ({ bytes: peakBytes, bufferBytes: peakBufferBytes });
    },
    restore: () => {
      Object.defineProperty(state, 'numBytes', { configurable: true, enumerable: true, writable: true, value: bytes });
      Object.assign(tensorInfo, { set: add, delete: remove });
    },
  };
}

function evaluate(peaks: readonly Round<Arm, Peak>[]): Result {
  const of = (count: keyof Peak): Round<Arm>[] =>
    peaks.map(({ unsampled, sampled, sampled_full }) => ({
      unsampled: unsampled[count],
      sampled: sampled[count],
      sampled_full: sampled_full[count],
    }));
  const [bytes, bufferBytes] = [of('bytes'), of('bufferBytes')];
  const mebibytes = (rounds: readonly Round<Arm>[], arm: Arm) => median(rounds.map((each) => each[arm])) / 2 ** 20;
  return {
    figures: {
      ratio: medianRatio<Arm>('sampled', 'unsampled')(bytes),
      full_ratio: medianRatio<Arm>('sampled_full', 'unsampled')(bytes),
      buffers_ratio: medianRatio<Arm>('sampled', 'unsampled')(bufferBytes),
    },
    intervals: {},
    details: {
      rounds: peaks.length,
      ...Object.fromEntries(arms.map((arm) => [`peak_mib_${arm}`, mebibytes(bytes, arm)])),
      ...Object.fromEntries(arms.map((arm) => [`buffers_peak_mib_${arm}`, mebibytes(bufferBytes, arm)])),
      ratio:
        'largest tf.memory().numBytes during a step: weights, optimiser, activations, gradients, probe; clones count again',
      buffers_ratio: 'the same with every buffer counted once, as far as TensorFlow.js knows who shares one',
    },
  };
}

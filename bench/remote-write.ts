/**
 * How fast stored frames get into VictoriaMetrics by remote write, and how fast its own vmagent brings it the same samples.
 *
 * Ours is a server that starts on a database full of frames and has the receiver to catch up with: it reads, encodes, compresses and sends.
 * vmagent gets the same samples on its own port, in requests that were made before the clock starts, as fast as it takes them: it
 * parses, batches, compresses and sends. So both go from their input to the receiver, and the receiver's own count of rows tells
 * when they are there: from the first rows seen to the last. In one pair of arms vmagent gets one sample of a series in a request, as
 * Prometheus sends them, in the other ten, which it passes on as they are.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import { compressSync } from 'snappy';
import { seededRandom } from '../cli/demo/batches.ts';
import { helloOf, runIdOf, samplesPerFrame, valuesOf } from './ingest/workload.ts';
import { prepareForwarding } from './remote-write/forwarding.ts';
import type { Bench, Result, Setting } from './support/bench.ts';
import { built } from './support/built.ts';
import { bootstrapInterval, median, medianRatio, type Round, shuffled } from './support/statistics.ts';

export type Arm = 'outlierscope' | 'vmagent' | 'vmagent_packed';
const arms: readonly Arm[] = ['outlierscope', 'vmagent', 'vmagent_packed'];

const lengths = {
  full: { rounds: 5, frames: 150, encodings: 2000 },
  quick: { rounds: 1, frames: 20, encodings: 200 },
} as const;

export const remoteWrite: Bench = {
  name: 'remote-write',
  description:
    'samples a second from the store into VictoriaMetrics, against its vmagent; time to encode 1,000 samples',
  requirements: [{ figure: 'ratio_vmagent', must: 'at least', limit: 1 }],
  run: measure,
};

async function measure({ length, progress }: Setting): Promise<Result> {
  const { rounds: count, frames, encodings } = lengths[length];
  const random = seededRandom(1);
  const encode = await encodeMilliseconds(encodings);
  progress(`1,000 samples encoded and compressed in ${encode.toFixed(3)} ms`);
  const forwarding = await prepareForwarding(frames, random);
  try {
    const rounds: Round<Arm>[] = [];
    for (let round = -1; round < count; round++) {
      const rates = {} as Record<Arm, number>;
      for (const arm of shuffled(arms, random)) {
        await sleep(length === 'full' ? 2000 : 0); // what the receiver has left to do in the background
        rates[arm] = await forwarding.run[arm]();
      }
      if (round >= 0) rounds.push(rates); // the first one warms up
      progress(`round ${round + 1} of ${count}: ${arms.map((arm) => `${arm} ${rates[arm].toFixed(0)}`).join(', ')}`);
    }
    return evaluate(rounds, encode, forwarding.details, random);
  } finally {
    await forwarding.stop();
  }
}

/** One frame of 1,000 series, as the package encodes and compresses it. */
async function encodeMilliseconds(times: number): Promise<number> {
  const { RequestEncoder } = await built<typeof import('../server/remote-write/protobuf.ts')>(
    'server/remote-write/protobuf.js',
  );
  const { prepareSeries } = await built<typeof import('../server/remote-write/series.ts')>(
    'server/remote-write/series.js',
  );
  const { afterHello } = await built<typeof import('../server/run-record.ts')>('server/run-record.js');
  const labels = prepareSeries(afterHello(undefined, helloOf(runIdOf('bench', 0)), 1), {}).values.slice(0, 1000);
  const values = valuesOf(seededRandom(1));
  const encoder = new RequestEncoder();
  const value = new Float64Array(1);
  const at = new Float64Array(1);
  const milliseconds: number[] = [];
  for (let done = 0; done < times; done++) {
    const began = performance.now();
    encoder.clear();
    at[0] = 1_790_000_000_000 + done;
    for (let index = 0; index < labels.length; index++) {
      value[0] = values[index] as number;
      encoder.add(labels[index] as Uint8Array, value, at);
    }
    const { buffer, byteLength } = encoder.bytes;
    compressSync(Buffer.from(buffer, 0, byteLength));
    milliseconds.push(performance.now() - began);
  }
  return median(milliseconds);
}

function evaluate(
  rounds: readonly Round<Arm>[],
  encode: number,
  details: Result['details'],
  random: () => number,
): Result {
  const ofArm = (arm: Arm) => (some: readonly Round<Arm>[]) => median(some.map((round) => round[arm]));
  const statistics: Record<string, (some: readonly Round<Arm>[]) => number> = {
    samples_per_second: ofArm('outlierscope'),
    ratio_vmagent: medianRatio<Arm>('outlierscope', 'vmagent'),
    ratio_vmagent_packed: medianRatio<Arm>('outlierscope', 'vmagent_packed'),
    vmagent_samples_per_second: ofArm('vmagent'),
    vmagent_packed_samples_per_second: ofArm('vmagent_packed'),
  };
  const entries = Object.entries(statistics);
  return {
    figures: {
      ...Object.fromEntries(entries.map(([name, statistic]) => [name, statistic(rounds)])),
      encode_ms: encode,
    },
    intervals: Object.fromEntries(
      entries.map(([name, statistic]) => [name, bootstrapInterval(rounds, statistic, random)]),
    ),
    details: {
      rounds: rounds.length,
      samples_per_frame: samplesPerFrame,
      ...details,
      encode_ms: 'median for one frame of 1,000 samples of as many series: encoded and compressed with snappy',
      ratios: "median of the rounds' own ratios",
    },
  };
}

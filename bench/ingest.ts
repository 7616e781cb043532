/**
 * How many samples a second the server makes durable, and what the others take of the same on the same machine.
 *
 * 64 trainers with 100 sites x 12 metrics send frames as fast as they are acknowledged, which is after the sync to the disk; rules are
 * evaluated on every frame, roll-ups are built, and /metrics is scraped every second. VictoriaMetrics gets the same samples by remote
 * write at the batch size and number of connections that it is fastest with, Pushgateway as pushes of whole runs. Whatever can be
 * encoded before the clock starts is, for all three alike.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import { seededRandom } from '../cli/demo/batches.ts';
import { type Fleet, startFleet } from './ingest/fleet.ts';
import type { Batch, Taken } from './ingest/load.ts';
import { runs, samplesPerFrame } from './ingest/workload.ts';
import type { Bench, Result, Setting } from './support/bench.ts';
import { bootstrapInterval, median, medianRatio, type Round, shuffled } from './support/statistics.ts';

type Arm = 'outlierscope' | 'victoriametrics' | 'victoriametrics_packed' | 'pushgateway';
const arms: readonly Arm[] = ['outlierscope', 'victoriametrics', 'victoriametrics_packed', 'pushgateway'];

const lengths = {
  full: {
    rounds: 7,
    milliseconds: 4000,
    trialMilliseconds: 1500,
    batches: [1200, 4800, 12_000, 38_400],
    connections: [2, 4, 8, 16, 64],
  },
  quick: { rounds: 2, milliseconds: 1500, trialMilliseconds: 1000, batches: [12_000], connections: [4, 8] },
} as const;

/** Frames that a trainer has on their way: 160 KB of the 64 MiB that the plugin holds. */
const window = 32;
/** Samples of one series in a request of the arm `victoriametrics_packed`. */
const packedDepth = 10;

export const ingest: Bench = {
  name: 'ingest',
  description: 'samples a second made durable, 64 connections, against VictoriaMetrics by remote write and Pushgateway',
  requirements: [
    { figure: 'ratio_victoriametrics', must: 'at least', limit: 10 },
    { figure: 'ratio_pushgateway', must: 'at least', limit: 100 },
  ],
  run: measure,
};

interface Tuning {
  readonly connections: number;
  readonly batch: Batch;
}

async function measure({ length, progress }: Setting): Promise<Result> {
  const { rounds: count, milliseconds } = lengths[length];
  const random = seededRandom(1);
  const fleet = await startFleet();
  try {
    // All servers hold all series before anything is measured.
    const first = await loadOf(fleet, { connections: 8, batch: { samples: 12_000, depth: 1 } }, 8, 1000).outlierscope();
    progress(`first second: ${perSecond(first).toFixed(0)} samples/s`);
    const tuning = await tune(fleet, length, progress);
    const pushConnections = await tunePushgateway(fleet, length, progress);
    const load = loadOf(fleet, tuning, pushConnections, milliseconds);
    const rounds: Round<Arm>[] = [];
    for (let round = -1; round < count; round++) {
      const rates = {} as Record<Arm, number>;
      for (const arm of shuffled(arms, random)) {
        await sleep(length === 'full' ? 1000 : 0); // what the others have left to do in the background
        rates[arm] = perSecond(await load[arm]());
      }
      if (round >= 0) rounds.push(rates); // the first one warms up
      progress(`round ${round + 1} of ${count}: ${arms.map((arm) => `${arm} ${rates[arm].toFixed(0)}`).join(', ')}`);
    }
    return evaluate(rounds, { ...tuning, pushConnections, versions: fleet.versions }, random);
  } finally {
    await fleet.stop();
  }
}

function loadOf(
  { ports, load }: Fleet,
  { connections, batch }: Tuning,
  pushConnections: number,
  milliseconds: number,
): Record<Arm, () => Promise<Taken>> {
  // More than it can take in that time.
  const samples = milliseconds * 4000;
  const write = (depth: number) => () =>
    load({
      kind: 'remote write',
      port: ports.victoriametrics,
      connections,
      milliseconds,
      samples: samples * Math.sqrt(depth),
      batch: { samples: batch.samples, depth },
    });
  return {
    outlierscope: () =>
      whileScraping(ports.outlierscope, () =>
        load({ kind: 'frames', port: ports.outlierscope, connections: runs, milliseconds, window }),
      ),
    victoriametrics: write(1),
    victoriametrics_packed: write(packedDepth),
    pushgateway: () => load({ kind: 'push', port: ports.pushgateway, connections: pushConnections, milliseconds }),
  };
}

/** Scrapes /metrics once a second meanwhile, as Prometheus would. */
async function whileScraping<Value>(port: number, action: () => Promise<Value>): Promise<Value> {
  const scraping = new AbortController();
  const scrapes = (async () => {
    while (!scraping.signal.aborted) {
      const response = await fetch(`http://127.0.0.1:${port}/metrics`);
      if (!response.ok) throw new Error(`/metrics was answered with ${response.status}`);
      await response.arrayBuffer();
      await sleep(1000, undefined, { signal: scraping.signal }).catch(() => undefined);
    }
  })();
  try {
    return await action();
  } finally {
    scraping.abort();
    await scrapes;
  }
}

/** The batch size and number of connections with which VictoriaMetrics is fastest here. */
async function tune(fleet: Fleet, length: Setting['length'], progress: Setting['progress']): Promise<Tuning> {
  const { batches, connections, trialMilliseconds } = lengths[length];
  const trials = batches.flatMap((samples) =>
    connections.map((each) => ({ connections: each, batch: { samples, depth: 1 } })),
  );
  return fastest(trials, async (trial) => {
    const rate = perSecond(await loadOf(fleet, trial, 1, trialMilliseconds).victoriametrics());
    progress(
      `VictoriaMetrics, ${trial.batch.samples} samples a request, ${trial.connections} connections: ${rate.toFixed(0)}/s`,
    );
    return rate;
  });
}

async function tunePushgateway(
  fleet: Fleet,
  length: Setting['length'],
  progress: Setting['progress'],
): Promise<number> {
  const any: Tuning = { connections: 1, batch: { samples: 1, depth: 1 } };
  return fastest([...lengths[length].connections], async (connections) => {
    const rate = perSecond(await loadOf(fleet, any, connections, 2 * lengths[length].trialMilliseconds).pushgateway());
    progress(`Pushgateway, ${connections} connections: ${rate.toFixed(0)}/s`);
    return rate;
  });
}

/** The first trial warms the server up and counts as well: being cold makes none the best. */
async function fastest<Trial>(trials: readonly Trial[], rateOf: (trial: Trial) => Promise<number>): Promise<Trial> {
  let best = trials[0] as Trial;
  let most = Number.NEGATIVE_INFINITY;
  for (const trial of trials) {
    const rate = await rateOf(trial);
    if (rate <= most) continue;
    most = rate;
    best = trial;
  }
  return best;
}

const perSecond = ({ samples, seconds }: Taken): number => samples / seconds;

function evaluate(
  rounds: readonly Round<Arm>[],
  conditions: Tuning & { pushConnections: number; versions: Readonly<Record<string, string>> },
  random: () => number,
): Result {
  const ofArm = (arm: Arm) => (some: readonly Round<Arm>[]) => median(some.map((round) => round[arm]));
  const statistics: Record<string, (some: readonly Round<Arm>[]) => number> = {
    samples_per_second: ofArm('outlierscope'),
    ratio_victoriametrics: medianRatio<Arm>('outlierscope', 'victoriametrics'),
    ratio_pushgateway: medianRatio<Arm>('outlierscope', 'pushgateway'),
    ratio_victoriametrics_packed: medianRatio<Arm>('outlierscope', 'victoriametrics_packed'),
    victoriametrics_samples_per_second: ofArm('victoriametrics'),
    pushgateway_samples_per_second: ofArm('pushgateway'),
  };
  const entries = Object.entries(statistics);
  return {
    figures: Object.fromEntries(entries.map(([name, statistic]) => [name, statistic(rounds)])),
    intervals: Object.fromEntries(
      entries.map(([name, statistic]) => [name, bootstrapInterval(rounds, statistic, random)]),
    ),
    details: {
      rounds: rounds.length,
      series: runs * samplesPerFrame,
      outlierscope: `${runs} connections, ${samplesPerFrame} samples a frame, ${window} frames under way each; default rules, /metrics scraped every second`,
      victoriametrics: `${conditions.versions['victoriametrics']}, remote write: ${conditions.batch.samples} samples a request, one of a series, ${conditions.connections} connections; the best of those tried`,
      victoriametrics_packed: `the same with ${packedDepth} samples of a series in a request, as neither Prometheus nor vmagent sends them`,
      pushgateway: `${conditions.versions['pushgateway']}, a PUT of ${samplesPerFrame} samples for each run, ${conditions.pushConnections} connections`,
      ratios: "median of the rounds' own ratios",
    },
  };
}

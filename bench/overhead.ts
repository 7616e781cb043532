/**
 * What the monitor costs a training step of the demo's GPT, and what its peers cost.
 *
 * One fit, in rounds of short blocks of two steps: short, so that whatever else the machine does falls on all arms alike; two,
 * so that what a watched step leaves behind, garbage above all, falls on the step after it in the same block. A round trains
 * ten steps without a monitor, ten without one again, and ten with one at its defaults, which samples one of the ten; then
 * one block each in which every step is watched: by nobody, by the monitor with its standard and its full group, and by each
 * peer. The order is random. All frames go to a server in a process of its own.
 *
 * The headline is a ratio of totals: a median step would be an unsampled one.
 */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { seededRandom } from '../cli/demo/batches.ts';
import type { DemoServer } from '../cli/demo/server.ts';
import type { MonitorOptions, OutlierMonitor } from '../plugin/index.ts';
import type { Bench, Result, Setting } from './support/bench.ts';
import { built, startNative, tfjsNode } from './support/built.ts';
import { addCosts, type Cost, startClocks } from './support/cost.ts';
import { gramPeer, probeModelPeer, tensorBoardPeer } from './support/peers.ts';
import {
  bootstrapInterval,
  type Interval,
  median,
  medianRatio,
  type Round,
  ratioOfTotals,
  shuffled,
} from './support/statistics.ts';
import { type Block, type Company, type DemoTraining, demoTraining, trainInBlocks } from './support/training.ts';

const longArms = ['without', 'without_again', 'default'] as const;
/** One block of each half without a monitor, and as many with one. */
const longTurn = ['without', 'without_again', 'default', 'default'] as const;
const shortArms = ['none', 'sampled', 'sampled_full', 'tensorboard', 'probe_model', 'gram'] as const;
const watchers = shortArms.filter((arm) => arm !== 'none');
const stepsOfBlock = 2;
/** Turns in a round: twenty steps with a monitor, two of them sampled. */
const turns = 5;
const lengths = { full: { warmUp: 1, rounds: 30 }, quick: { warmUp: 1, rounds: 5 } } as const;

type Arm = (typeof longArms)[number] | (typeof shortArms)[number];

const peers = ['tensorboard_ratio', 'probe_model_ratio', 'gram_ratio'];

export const overhead: Bench = {
  name: 'overhead',
  description: "a training step of the demo's GPT with the monitor, and with what people do today, over one without",
  requirements: [
    { figure: 'default_ratio', must: 'at most', limit: 1.01 },
    { figure: 'sampled_ratio', must: 'at most', limit: 1.05 },
    { figure: 'sampled_full_ratio', must: 'at most', limit: 1.15 },
    ...['default_ratio', 'sampled_ratio', 'sampled_full_ratio'].flatMap((figure) =>
      peers.map((other) => ({ figure, must: 'below', other }) as const),
    ),
  ],
  run: async (setting) => {
    const { startDemoServer } = await built<typeof import('../cli/demo/server.ts')>('cli/demo/server.js');
    const server = await startDemoServer(0);
    try {
      return await measure(setting, server);
    } finally {
      await server.stop();
    }
  },
};

async function measure({ length, progress }: Setting, server: DemoServer): Promise<Result> {
  const { warmUp, rounds } = lengths[length];
  const random = seededRandom(1);
  const training = await demoTraining();
  const { outlierMonitor } = await built<typeof import('../plugin/index.ts')>('plugin/index.js');
  const monitor = (run: string, options: MonitorOptions): OutlierMonitor => {
    const made = outlierMonitor({ url: server.url.replace(/^http/, 'ws'), run: `bench: ${run}`, ...options });
    made.setModel(training.model);
    return made;
  };
  const monitors = {
    default: monitor('default', {}),
    sampled: monitor('sampled', { every: 1 }),
    sampled_full: monitor('sampled, full', { every: 1, metrics: 'full' }),
  };
  const logs = mkdtempSync(join(tmpdir(), 'outlierscope-bench-'));
  try {
    const costs = await trainRounds(
      training,
      warmUp + rounds,
      random,
      progress,
      await peersAt(logs, training),
      monitors,
    );
    const reports = await Promise.all(Object.values(monitors).map((each) => each.close()));
    const delivered = reports.reduce((total, report) => total + report.delivered, 0);
    const lost = reports.reduce((total, report) => total + report.dropped + report.undelivered, 0);
    const faults = Object.values(monitors).reduce((total, each) => total + each.faults, 0);
    if (lost + faults > 0) throw new Error(`the monitors had ${faults} faults, and ${lost} frames were not delivered`);
    return evaluate(costs.slice(warmUp), random, delivered);
  } finally {
    rmSync(logs, { recursive: true, force: true });
  }
}

type PeersFor = (
  inputs: Parameters<typeof probeModelPeer>[1],
) => Record<'tensorboard' | 'probe_model' | 'gram', Company>;

async function peersAt(logs: string, { model, settings }: DemoTraining): Promise<PeersFor> {
  const callback = tfjsNode(await startNative()).tensorBoard(logs, { updateFreq: 'batch', histogramFreq: 1 });
  return (inputs) => ({
    tensorboard: tensorBoardPeer(callback, model),
    probe_model: probeModelPeer(model, inputs, settings.batch),
    gram: gramPeer(model),
  });
}

async function trainRounds(
  training: DemoTraining,
  rounds: number,
  random: () => number,
  progress: Setting['progress'],
  peersFor: PeersFor,
  monitors: Record<'default' | 'sampled' | 'sampled_full', Company>,
): Promise<Round<Arm, Cost>[]> {
  const blocksOf = (arms: readonly Arm[]): Block<Arm>[] =>
    shuffled(arms, random).map((arm) => ({ arm, steps: stepsOfBlock }));
  const order = Array.from({ length: rounds }, () => [
    ...Array.from({ length: turns }, () => blocksOf(longTurn)).flat(),
    ...blocksOf(shortArms),
  ]);
  const blocksOfRound = turns * longTurn.length + shortArms.length;
  const costs: Partial<Record<Arm, Cost>>[] = order.map(() => ({}));
  const began = performance.now();
  await trainInBlocks(
    training,
    order.flat(),
    (inputs) => ({ without: {}, without_again: {}, none: {}, ...monitors, ...peersFor(inputs) }),
    startClocks,
    ({ arm }, index, cost) => {
      const round = Math.floor(index / blocksOfRound);
      const ofRound = costs[round] as Partial<Record<Arm, Cost>>;
      ofRound[arm] = ofRound[arm] === undefined ? cost : addCosts(ofRound[arm], cost);
      if (index % blocksOfRound !== blocksOfRound - 1) return;
      const seconds = (performance.now() - began) / 1000;
      progress(`round ${round + 1} of ${rounds}, ${seconds.toFixed(0)} s`);
    },
  );
  return costs as Round<Arm, Cost>[];
}

function evaluate(costs: readonly Round<Arm, Cost>[], random: () => number, delivered: number): Result {
  const inUnit = (unit: keyof Cost): Round<Arm>[] =>
    costs.map(
      (round) => Object.fromEntries(Object.entries(round).map(([arm, cost]) => [arm, cost[unit]])) as Round<Arm>,
    );
  const times = inUnit('milliseconds');
  const statistics: Record<string, (rounds: readonly Round<Arm>[]) => number> = {
    default_ratio: ratioOfTotals<Arm>(['default'], ['without', 'without_again']),
    ...Object.fromEntries(watchers.map((arm) => [`${arm}_ratio`, medianRatio<Arm>(arm, 'none')])),
    control_ratio: ratioOfTotals<Arm>(['without_again'], ['without']),
  };
  const figures: Record<string, number> = {};
  const intervals: Record<string, Interval> = {};
  for (const [name, statistic] of Object.entries(statistics)) {
    figures[name] = statistic(times);
    intervals[name] = bootstrapInterval(times, statistic, random);
  }
  const processor = inUnit('processorMilliseconds');
  for (const name of ['default_ratio', 'sampled_ratio', 'control_ratio']) {
    figures[`${name}_processor`] = statistics[name]?.(processor) ?? Number.NaN;
  }
  const stepsOfHalf = turns * stepsOfBlock;
  const millisecondsOfStep = (arm: Arm, steps: number) => median(times.map((round) => round[arm])) / steps;
  return {
    figures,
    intervals,
    details: {
      rounds: costs.length,
      steps_each_without_and_default: 2 * costs.length * stepsOfHalf,
      steps_each_sampled_and_peer: costs.length * stepsOfBlock,
      frames_delivered: delivered,
      step_ms_without: millisecondsOfStep('without', stepsOfHalf),
      step_ms_default: millisecondsOfStep('default', 2 * stepsOfHalf),
      ...Object.fromEntries(shortArms.map((arm) => [`step_ms_${arm}`, millisecondsOfStep(arm, stepsOfBlock)])),
      default_ratio: 'total time of all steps with the monitor at its defaults / of as many without',
      control_ratio: 'one half of the steps without a monitor / the other: how far chance alone goes (A/A)',
      other_ratios: "median over the rounds of a watched step / the same round's step without",
      processor: 'the same in processor time of all threads, which depends less on other load',
    },
  };
}

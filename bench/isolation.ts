/**
 * Whether training notices what becomes of the server: step time of the demo's GPT, watched by the monitor at its defaults, while the
 * server is stopped, frozen or restarting, over the step time while it runs.
 *
 * One fit, one monitor, blocks of ten steps: each has one sampled step. A round has a block for each state, in random order, and a
 * second one with the server running, which says how far chance alone goes. Between blocks, off the clock, the server becomes what
 * the next block asks for; a running one has the trainer's frames before the block begins.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import { seededRandom } from '../cli/demo/batches.ts';
import type { OutlierMonitor } from '../plugin/index.ts';
import type { Bench, Result, Setting } from './support/bench.ts';
import { built } from './support/built.ts';
import { type Cost, startClocks } from './support/cost.ts';
import { type ServerState, type UnsteadyServer, unsteadyServer } from './support/server.ts';
import { bootstrapInterval, type Interval, median, medianRatio, type Round, shuffled } from './support/statistics.ts';
import { type Block, demoTraining, trainInBlocks } from './support/training.ts';

const arms = ['running', 'running_again', 'stopped', 'frozen', 'restarting'] as const;
type Arm = (typeof arms)[number];
const states: Readonly<Record<Arm, ServerState>> = {
  running: 'running',
  running_again: 'running',
  stopped: 'stopped',
  frozen: 'frozen',
  restarting: 'restarting',
};
const troubles = ['stopped', 'frozen', 'restarting'] as const;
const stepsOfBlock = 10;
const lengths = { full: { warmUp: 1, rounds: 16 }, quick: { warmUp: 0, rounds: 1 } } as const;

export const isolation: Bench = {
  name: 'isolation',
  description: 'a training step while the server is stopped, frozen or restarting, over one while it runs',
  requirements: [{ figure: 'worst_ratio', must: 'at most', limit: 1.05 }],
  run: async (setting) => {
    const server = await unsteadyServer();
    try {
      return await measure(setting, server);
    } finally {
      await server.end();
    }
  },
};

async function measure({ length, progress }: Setting, server: UnsteadyServer): Promise<Result> {
  const { warmUp, rounds } = lengths[length];
  const random = seededRandom(1);
  const training = await demoTraining();
  const { outlierMonitor } = await built<typeof import('../plugin/index.ts')>('plugin/index.js');
  await server.become('running');
  const monitor = outlierMonitor({ url: server.url.replace('http', 'ws'), run: 'bench: isolation', warn: () => {} });
  monitor.setModel(training.model);
  // The first block begins the run: no clock on it.
  const order: Block<Arm>[] = [
    { arm: 'running', steps: stepsOfBlock },
    ...Array.from({ length: warmUp + rounds }, () =>
      shuffled(arms, random).map((arm) => ({ arm, steps: stepsOfBlock })),
    ).flat(),
  ];
  const costs: Partial<Record<Arm, Cost>>[] = Array.from({ length: warmUp + rounds }, () => ({}));
  const watched = Object.fromEntries(arms.map((arm) => [arm, monitor])) as Record<Arm, OutlierMonitor>;
  await trainInBlocks(
    training,
    order,
    () => watched,
    startClocks,
    async ({ arm }, index, cost) => {
      const round = Math.floor((index - 1) / arms.length);
      if (index > 0) (costs[round] as Partial<Record<Arm, Cost>>)[arm] = cost;
      if (index > 0 && index % arms.length === 0) progress(`round ${round + 1} of ${warmUp + rounds}`);
      const next = states[order[index + 1]?.arm ?? 'running'];
      await server.become(next);
      if (next === 'running') await connected(server, monitor.runId);
    },
  );
  const { accepted, delivered, dropped } = await monitor.close({ deadlineMilliseconds: 30_000 });
  if (monitor.faults > 0 || delivered !== accepted)
    throw new Error(
      `the monitor had ${monitor.faults} faults; of ${accepted} frames ${delivered} were delivered, ${dropped} dropped`,
    );
  return evaluate((costs as Round<Arm, Cost>[]).slice(warmUp), random, delivered);
}

/** Waits until the server has the trainer again. */
async function connected(server: UnsteadyServer, runId: string): Promise<void> {
  for (let attempt = 0; attempt < 600; attempt++) {
    const answer = await fetch(`${server.url}/api/runs/${runId}`).catch(() => undefined);
    if (answer?.ok && ((await answer.json()) as { state: string }).state === 'connected') return;
    await sleep(50);
  }
  throw new Error('the trainer did not come back to its server within 30 s');
}

function evaluate(costs: readonly Round<Arm, Cost>[], random: () => number, delivered: number): Result {
  const inUnit = (unit: keyof Cost): Round<Arm>[] =>
    costs.map(
      (round) => Object.fromEntries(Object.entries(round).map(([arm, cost]) => [arm, cost[unit]])) as Round<Arm>,
    );
  const times = inUnit('milliseconds');
  const processor = inUnit('processorMilliseconds');
  const ratioOf = (arm: Arm) => medianRatio<Arm>(arm, 'running');
  const ratios = Object.fromEntries(troubles.map((arm) => [`${arm}_ratio`, ratioOf(arm)(times)]));
  const intervals: Record<string, Interval> = {};
  for (const arm of [...troubles, 'running_again'] as const) {
    const name = arm === 'running_again' ? 'control_ratio' : `${arm}_ratio`;
    intervals[name] = bootstrapInterval(times, ratioOf(arm), random);
  }
  return {
    figures: {
      worst_ratio: Math.max(...Object.values(ratios)),
      ...ratios,
      control_ratio: ratioOf('running_again')(times),
      worst_ratio_processor: Math.max(...troubles.map((arm) => ratioOf(arm)(processor))),
    },
    intervals,
    details: {
      rounds: costs.length,
      steps_of_block: stepsOfBlock,
      frames_delivered: delivered,
      ...Object.fromEntries(
        arms.map((arm) => [`step_ms_${arm}`, median(times.map((round) => round[arm])) / stepsOfBlock]),
      ),
      ratios:
        'median over the rounds of a block with the server in that state / the block of the round with it running',
      worst_ratio: 'the largest of the three',
      control_ratio: 'the same of two blocks with it running: how far chance alone goes (A/A)',
      processor: "the same in processor time of the trainer's threads: without what the server's own process takes",
    },
  };
}

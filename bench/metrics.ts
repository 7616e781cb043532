/**
 * What measuring one site costs, in passes over its activations, and against the authors' way.
 *
 * X = 2048 x 768. Standard group: what a sampled step does at a site, through the probe that the monitor uses: reduce the
 * activations and the gradient of the same size, then all metrics.
 */
import * as tf from '@tensorflow/tfjs-core';
import { seededRandom } from '../cli/demo/batches.ts';
import type { MetricGroup } from '../src/catalogue.ts';
import type { Bench, Result, Setting } from './support/bench.ts';
import { built } from './support/built.ts';
import { authorsStatistics } from './support/peers.ts';
import { bootstrapInterval, median, medianRatio, type Round, shuffled } from './support/statistics.ts';

const shape = { batch: 16, positions: 128, width: 768 } as const; // 2048 rows
const lengths = { full: 60, quick: 5 } as const;

/** How often an arm is run at a stretch: long enough for the clock, short enough to be interleaved. */
const repetitions = {
  single_pass: 20,
  standard: 5,
  essential: 5,
  full: 2,
  reduction: 5,
  arithmetic: 5,
  gram: 1,
} as const;
type Arm = keyof typeof repetitions;

export const metrics: Bench = {
  name: 'metrics',
  description: 'all standard metrics of one site, 2048 x 768, over one pass of sum(x^2) and over full Gram matrices',
  requirements: [
    { figure: 'ratio_to_single_pass', must: 'at most', limit: 12 },
    { figure: 'speedup_vs_gram', must: 'at least', limit: 12 },
  ],
  run: measure,
};

async function measure({ length, progress }: Setting): Promise<Result> {
  const { batch, positions, width } = shape;
  const x = tf.randomNormal([batch, positions, width], 0, 1, 'float32', 1);
  const gradient = tf.randomNormal([batch, positions, width], 0, 1, 'float32', 2);
  const random = seededRandom(1);
  const arms = await prepareArms(x, gradient);
  const rounds: Round<Arm>[] = [];
  for (let round = -1; round < lengths[length]; round++) {
    const times = {} as Record<Arm, number>;
    for (const arm of shuffled(Object.keys(repetitions) as Arm[], random)) {
      const began = performance.now();
      for (let repetition = 0; repetition < repetitions[arm]; repetition++) arms[arm]();
      times[arm] = (performance.now() - began) / repetitions[arm];
    }
    if (round >= 0) rounds.push(times); // the first one warms up
    if (round % 10 === 9) progress(`round ${round + 1} of ${lengths[length]}`);
  }
  tf.dispose([x, gradient]);
  return evaluate(rounds, random);
}

async function prepareArms(x: tf.Tensor, gradient: tf.Tensor): Promise<Record<Arm, () => void>> {
  const { metricsOfGroup } = await built<typeof import('../src/catalogue.ts')>('src/catalogue.js');
  const { StepProbe } = await built<typeof import('../plugin/capture/probe.ts')>('plugin/capture/probe.js');
  const { activationParts } = await built<typeof import('../plugin/measure/layout.ts')>('plugin/measure/layout.js');
  const { measureSite } = await built<typeof import('../plugin/measure/site.ts')>('plugin/measure/site.js');
  type Probe = InstanceType<typeof StepProbe>;

  const observe = (group: MetricGroup): Probe => {
    const fault = (_site: string, error: unknown): never => {
      throw error;
    };
    const gradients = group === 'essential' ? 'left out' : 'measured';
    const probe = new StepProbe({ activations: activationParts(metricsOfGroup(group)), gradients }, fault);
    // The gradient of the probe with respect to its input, with a given dy: nothing runs but the probe.
    tf.grad((input) => probe.observe('site', input))(x, gradient).dispose();
    return probe;
  };
  const finish = (probe: Probe, values: Float32Array): void => {
    for (const [, seen] of probe.finish(values).sites) measureSite(seen, 5);
  };
  const measureGroup = (group: MetricGroup) => (): void => {
    const probe = observe(group);
    const download = probe.gather([]);
    finish(probe, download.dataSync<'float32'>());
    download.dispose();
  };
  const seen = observe('standard');
  const downloaded = tf.tidy(() => seen.gather([]).dataSync<'float32'>());
  const { sites } = seen.finish(downloaded);

  return {
    single_pass: () => tf.tidy(() => tf.sum(tf.square(x)).dataSync()),
    standard: measureGroup('standard'),
    essential: measureGroup('essential'),
    full: measureGroup('full'),
    reduction: () => {
      const probe = observe('standard');
      probe.gather([]).dispose();
      probe.dispose();
    },
    arithmetic: () => {
      for (const [, site] of sites) measureSite(site, 5);
    },
    gram: () => tf.tidy(() => authorsStatistics(tf.clone(x)).dataSync()),
  };
}

function evaluate(rounds: readonly Round<Arm>[], random: () => number): Result {
  const statistics: Record<string, (rounds: readonly Round<Arm>[]) => number> = {
    ratio_to_single_pass: medianRatio<Arm>('standard', 'single_pass'),
    speedup_vs_gram: medianRatio<Arm>('gram', 'standard'),
    essential_ratio_to_single_pass: medianRatio<Arm>('essential', 'single_pass'),
    full_ratio_to_single_pass: medianRatio<Arm>('full', 'single_pass'),
    reduction_in_passes: medianRatio<Arm>('reduction', 'single_pass'),
    arithmetic_in_passes: medianRatio<Arm>('arithmetic', 'single_pass'),
  };
  const entries = Object.entries(statistics);
  const milliseconds = Object.keys(repetitions).map((arm) => [
    `${arm}_ms`,
    median(rounds.map((each) => each[arm as Arm])),
  ]);
  return {
    figures: Object.fromEntries(entries.map(([name, statistic]) => [name, statistic(rounds)])),
    intervals: Object.fromEntries(
      entries.map(([name, statistic]) => [name, bootstrapInterval(rounds, statistic, random)]),
    ),
    details: {
      rounds: rounds.length,
      ...Object.fromEntries(milliseconds),
      standard: 'activations and gradient of the same size reduced, then all metrics',
      gram: "the authors' statistics in plain operations: X X^T, X^T X and every row's median in full",
      ratios: "median of the rounds' own ratios",
    },
  };
}

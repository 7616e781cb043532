/** Every family of the runs' series: its name, its samples, and how many there may be. Pure. */
import { frameScalars, siteMetrics } from '../../src/catalogue.ts';
import { isMeasured } from '../../src/frame.ts';
import type { Rule } from '../../src/rules.ts';
import type { RunDescription } from '../run-record.ts';
import type { LiveRun } from '../runs.ts';
import type { ByteWriter } from './byte-writer.ts';
import { type LabelSets, type RunLabels, runStates, userScalarsOf } from './labels.ts';

export interface Family {
  readonly name: string;
  /** The catalogue's name of what it shows, which a filter may use too. */
  readonly metric?: string;
  readonly type: 'gauge' | 'info';
  readonly help: string;
  /** How many series a run has at most. Does not depend on frames, so a limit leaves out the same ones in every scrape. */
  readonly series: (description: RunDescription, rules: readonly Rule[]) => number;
  /** Writes the samples of one run: of its first `most` series those that were measured. */
  readonly samples: (run: LiveRun, at: Place, most: number) => void;
}

/** Where samples are written, and what they are called. */
export interface Place {
  readonly writer: ByteWriter;
  /** Of the family. */
  readonly name: Uint8Array;
  readonly labels: RunLabels;
  readonly rules: readonly Rule[];
  /** When the scrape began, in milliseconds since 1970. */
  readonly now: number;
}

const one = (): number => 1;

export const families: readonly Family[] = [
  {
    name: 'outlierscope_run_info',
    type: 'info',
    help: 'A run that is connected, or ended less than the grace time ago; its name and what its trainer said of it. Always 1.',
    series: one,
    samples: (_run, at) => write(at, at.labels.info, 0, 1),
  },
  {
    name: 'outlierscope_run_state',
    type: 'gauge',
    help: 'Whether the run is in that state: 1 for one of connected, silent (its trainer is gone without a goodbye), finished, failed, 0 for the others.',
    series: () => runStates.length,
    samples({ record: { progress } }, at, most) {
      for (const [index, state] of runStates.slice(0, most).entries())
        write(at, at.labels.states, index, progress.state === state ? 1 : 0);
    },
  },
  {
    name: 'outlierscope_training_step',
    type: 'gauge',
    help: 'The last sampled training step of the run.',
    series: one,
    samples({ latest }, at) {
      if (latest !== undefined) write(at, at.labels.run, 0, latest.step);
    },
  },
  {
    name: 'outlierscope_run_last_frame_timestamp_seconds',
    type: 'gauge',
    help: "When the last frame of the run arrived, in seconds since 1970 by the server's clock.",
    series: one,
    samples({ record: { progress } }, at) {
      if (progress.lastFrameAt !== null) write(at, at.labels.run, 0, progress.lastFrameAt / 1000);
    },
  },
  ...frameScalars.map(
    ({ name, prometheus }): Family => ({
      ...prometheus,
      metric: name,
      type: 'gauge',
      series: ({ scalars }) => (scalars.includes(name) ? 1 : 0),
      samples({ latest, record }, at) {
        const column = record.description.scalars.indexOf(name);
        if (latest !== undefined && isMeasured(latest.scalars, column))
          write(at, at.labels.run, 0, latest.scalars[column] as number);
      },
    }),
  ),
  {
    name: 'outlierscope_alert_firing',
    type: 'gauge',
    help: 'Whether a rule of the server fires for the run: 1 while it does, else 0.',
    series: (_description, rules) => rules.length,
    samples({ record }, at, most) {
      for (const [index, { name }] of at.rules.slice(0, most).entries())
        write(at, at.labels.alerts, index, (record.progress.rules[name]?.alert ?? null) !== null ? 1 : 0);
    },
  },
  {
    name: 'outlierscope_user_scalar',
    type: 'gauge',
    help: 'A scalar of the trainer that is not in the metric catalogue, at the last sampled step, by its name.',
    series: ({ scalars }) => userScalarsOf(scalars).length,
    samples({ latest, record }, at, most) {
      if (latest === undefined) return;
      for (const [index, { column }] of userScalarsOf(record.description.scalars).slice(0, most).entries())
        if (isMeasured(latest.scalars, column))
          write(at, at.labels.userScalars, index, latest.scalars[column] as number);
    },
  },
  {
    name: 'outlierscope_kurtosis_recent_max',
    type: 'gauge',
    help: 'Largest kurtosis of the site over the last while (server option kurtosisWindowSeconds, by default a minute): every sampled step counts, not only those that a scrape meets.',
    series: ofSites('kurtosis'),
    samples({ peaks, record }, at, most) {
      if (peaks === undefined) return;
      const { writer, name, now } = at;
      const { sites } = at.labels;
      const count = Math.min(record.description.sites.length, most);
      for (let site = 0; site < count; site++) {
        const value = peaks.largest(site, now);
        if (!Number.isNaN(value)) writer.sample(name, sites[site] as Uint8Array, value);
      }
    },
  },
  ...siteMetrics.map(
    ({ name, prometheus }): Family => ({
      ...prometheus,
      metric: name,
      type: 'gauge',
      series: ofSites(name),
      samples({ latest, record }, at, most) {
        const { metrics } = record.description;
        const column = metrics.indexOf(name);
        if (latest !== undefined && column >= 0) writeColumn(latest.values, column, metrics.length, at, most);
      },
    }),
  ),
];

function ofSites(metric: string): Family['series'] {
  return ({ metrics, sites }) => (metrics.includes(metric) ? sites.length : 0);
}

/** One metric at every site. Runs for most of a scrape's samples, and is compiled once for all families. */
function writeColumn(values: Float32Array, column: number, metrics: number, at: Place, most: number): void {
  const { writer, name } = at;
  const { sites } = at.labels;
  const count = Math.min(sites.length, most, values.length / metrics);
  for (let site = 0, index = column; site < count; site++, index += metrics) {
    const value = values[index] as number;
    if (!Number.isNaN(value) || isMeasured(values, index)) writer.sample(name, sites[site] as Uint8Array, value);
  }
}

function write({ writer, name }: Place, labels: LabelSets, index: number, value: number): void {
  writer.sample(name, labels[index] as Uint8Array, value);
}

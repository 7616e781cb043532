/**
 * The runs' latest frames in the Prometheus text format. Pure: from typed arrays to text, with label strings prepared once a run.
 * https://github.com/prometheus/docs/blob/main/docs/instrumenting/exposition_formats.md
 */
import { frameScalars, siteMetrics } from '../src/catalogue.ts';
import { isMeasured } from '../src/frame.ts';
import type { Rule } from '../src/rules.ts';
import type { RunRecord } from './run-record.ts';
import type { LiveRun } from './runs.ts';

interface Family {
  readonly name: string;
  readonly help: string;
  /** Appends the samples of one run. */
  readonly samples: (run: LiveRun, labels: RunLabels, line: Line, rules: readonly Rule[]) => void;
}

/** Appends one sample; `labels` come ready, with their braces. */
type Line = (labels: string, value: number) => void;

/** The label strings of a run, one for each site and each user scalar. */
interface RunLabels {
  readonly run: string;
  readonly info: string;
  readonly sites: readonly string[];
  /** Columns of the catalogue's metrics and scalars in this run's frames; absent where it does not measure them. */
  readonly metricColumns: ReadonlyMap<string, number>;
  readonly scalarColumns: ReadonlyMap<string, number>;
  /** The scalars that are not the catalogue's. */
  readonly userScalars: readonly { readonly column: number; readonly labels: string }[];
}

/** What of a run's tags and config becomes labels of its info series: few, bounded, and alike for all runs. */
const infoLabels = ['backend', 'host', 'model', 'group', 'rank'] as const;

const families: readonly Family[] = [
  {
    name: 'outlierscope_run_info',
    help: 'A run that is connected, or ended less than the grace time ago; its name and what its trainer said of it. Always 1.',
    samples: (_run, labels, line) => line(labels.info, 1),
  },
  {
    name: 'outlierscope_training_step',
    help: 'The last sampled training step of the run.',
    samples({ latest }, labels, line) {
      if (latest !== undefined) line(labels.run, latest.step);
    },
  },
  {
    name: 'outlierscope_run_last_frame_timestamp_seconds',
    help: "When the last frame of the run arrived, in seconds since 1970 by the server's clock.",
    samples({ record: { progress } }, labels, line) {
      if (progress.lastFrameAt !== null) line(labels.run, progress.lastFrameAt / 1000);
    },
  },
  ...frameScalars.map(
    (scalar): Family => ({
      ...scalar.prometheus,
      samples({ latest }, labels, line) {
        const column = labels.scalarColumns.get(scalar.name) ?? -1;
        if (latest !== undefined && isMeasured(latest.scalars, column))
          line(labels.run, latest.scalars[column] as number);
      },
    }),
  ),
  {
    name: 'outlierscope_user_scalar',
    help: 'A scalar of the trainer that is not in the metric catalogue, at the last sampled step, by its name.',
    samples({ latest }, { userScalars }, line) {
      for (const { column, labels } of userScalars) {
        if (latest !== undefined && isMeasured(latest.scalars, column)) line(labels, latest.scalars[column] as number);
      }
    },
  },
  ...siteMetrics.map(
    (metric): Family => ({
      ...metric.prometheus,
      samples({ latest, record }, { metricColumns, sites }, line) {
        const width = record.description.metrics.length;
        const column = metricColumns.get(metric.name);
        if (latest === undefined || column === undefined) return;
        for (let site = 0; site < sites.length; site++) {
          const index = site * width + column;
          if (isMeasured(latest.values, index)) line(sites[site] as string, latest.values[index] as number);
        }
      },
    }),
  ),
  {
    name: 'outlierscope_alert_firing',
    help: 'Whether a rule of the server fires for the run: 1 while it does, else 0.',
    samples({ record }, _labels, line, rules) {
      for (const { name, severity } of rules) {
        const firing = (record.progress.rules[name]?.alert ?? null) !== null;
        line(labelString({ run: record.id, alert: name, severity }), firing ? 1 : 0);
      }
    },
  },
];

/** The text of all runs, family by family; families without samples are left out. */
export function renderExposition(runs: readonly LiveRun[], rules: readonly Rule[]): string {
  const labelled = runs.map((run) => ({ run, labels: labelsOf(run.record) }));
  let text = '';
  for (const { name, help, samples } of families) {
    let lines = '';
    const line: Line = (labels, value) => {
      lines += `${name}${labels} ${formatValue(value)}\n`;
    };
    for (const { run, labels } of labelled) samples(run, labels, line, rules);
    if (lines !== '') text += `# HELP ${name} ${escapeHelp(help)}\n# TYPE ${name} gauge\n${lines}`;
  }
  return text;
}

/** Prepared once for each description of a run, which only a hello or a declare replaces. */
const prepared = new WeakMap<RunRecord['description'], RunLabels>();

function labelsOf({ id, description }: RunRecord): RunLabels {
  const ready = prepared.get(description);
  if (ready !== undefined) return ready;
  const catalogued = new Set<string>(frameScalars.map((scalar) => scalar.name));
  const labels: RunLabels = {
    run: labelString({ run: id }),
    info: labelString({ run: id, name: description.name, ...infoOf(description) }),
    sites: description.sites.map((site) => labelString({ run: id, site: site.name })),
    metricColumns: columnsOf(description.metrics),
    scalarColumns: columnsOf(description.scalars),
    userScalars: description.scalars.flatMap((name, column) =>
      catalogued.has(name) ? [] : [{ column, labels: labelString({ run: id, name }) }],
    ),
  };
  prepared.set(description, labels);
  return labels;
}

function infoOf({ tags, config }: RunRecord['description']): Record<string, string> {
  const known = { ...config, ...tags };
  return Object.fromEntries(
    infoLabels.flatMap((name) =>
      known[name] === undefined || known[name] === null ? [] : [[name, String(known[name])]],
    ),
  );
}

function columnsOf(names: readonly string[]): ReadonlyMap<string, number> {
  return new Map(names.map((name, column) => [name, column]));
}

function labelString(labels: Readonly<Record<string, string>>): string {
  return `{${Object.entries(labels)
    .map(([name, value]) => `${name}="${escapeLabel(value)}"`)
    .join(',')}}`;
}

const escapes: Readonly<Record<string, string>> = { '\\': '\\\\', '"': '\\"', '\n': '\\n' };

/** Escapes backslash, double quote and newline, the three that the format asks for; half surrogates, which are no Unicode, give way. */
function escapeLabel(value: string): string {
  return value.replace(/[\\"\n]/g, (character) => escapes[character] ?? character).replace(/\p{Surrogate}/gu, '\ufffd');
}

function escapeHelp(help: string): string {
  return help.replace(/[\\\n]/g, (character) => escapes[character] ?? character);
}

/** The shortest text that reads back as the same double, float32 values included. */
function formatValue(value: number): string {
  if (Number.isFinite(value)) return String(value);
  return Number.isNaN(value) ? 'NaN' : value > 0 ? '+Inf' : '-Inf';
}

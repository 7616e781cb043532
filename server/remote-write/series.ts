/**
 * The series of a run as remote write sends them: the names and labels of /metrics (a test holds the two together), as bytes that are
 * prepared once for each description of a run.
 */
import { frameScalars, siteMetric } from '../../src/catalogue.ts';
import type { RunRecord } from '../run-record.ts';
import { join, labelField } from './protobuf.ts';

export interface RunSeries {
  readonly info: Uint8Array;
  readonly step: Uint8Array;
  /** In the order of the frames' scalars. */
  readonly scalars: readonly Uint8Array[];
  /** In the order of the frames' values, row by row; undefined for metrics that are not in the catalogue. */
  readonly values: readonly (Uint8Array | undefined)[];
  readonly sites: number;
  readonly metrics: number;
  /** Of memory, about. */
  readonly size: number;
}

type Labels = Readonly<Record<string, string>>;

/** What of a run's tags and config becomes labels of its info series, as in /metrics. */
const infoLabels = ['backend', 'host', 'model', 'group', 'rank'] as const;
const scalarNames = new Map(frameScalars.map((scalar) => [scalar.name as string, scalar.prometheus.name]));
/** An object and its view of the shared bytes. */
const overhead = 120;

export function prepareSeries({ id, description }: Pick<RunRecord, 'id' | 'description'>, external: Labels): RunSeries {
  const ofRun = { ...external, run: id };
  const { sites, metrics, scalars, tags, config, name } = description;
  const known = { ...config, ...tags };
  const info = infoLabels.flatMap((label) => {
    const value = known[label] ?? null;
    return value === null ? [] : [[label, String(value)]];
  });
  const values = valueSeries(
    ofRun,
    sites.map((site) => site.name),
    metrics.map((metric) => siteMetric(metric)?.prometheus.name),
  );
  return {
    info: labelBytes('outlierscope_run_info', { ...ofRun, name, ...Object.fromEntries(info) }),
    step: labelBytes('outlierscope_training_step', ofRun),
    scalars: scalars.map((scalar) => {
      const catalogued = scalarNames.get(scalar);
      if (catalogued !== undefined) return labelBytes(catalogued, ofRun);
      return labelBytes('outlierscope_user_scalar', { ...ofRun, name: scalar });
    }),
    values,
    sites: sites.length,
    metrics: metrics.length,
    size: values.reduce((size, labels) => size + overhead + (labels?.length ?? 0), 1024),
  };
}

/** Sorted by name, as the specification asks; an empty value is no label at all. */
export function labelBytes(metric: string, labels: Labels): Uint8Array {
  const sorted = Object.entries({ ...labels, __name__: metric })
    .filter(([, value]) => value !== '')
    .sort(([one], [other]) => compare(one, other));
  return join(sorted.map(([name, value]) => labelField(name, value)));
}

/** Thousands of series that differ in metric and site only: the bytes around those two are made once. */
function valueSeries(ofRun: Labels, sites: readonly string[], metrics: readonly (string | undefined)[]) {
  const names = Object.keys(ofRun).sort(compare);
  const constant = (above: string, below: string): Uint8Array =>
    join(
      names
        .filter((name) => compare(name, above) > 0 && compare(name, below) < 0)
        .map((name) => labelField(name, ofRun[name] as string)),
    );
  const first = constant('', '__name__');
  const middle = constant('__name__', 'site');
  const last = constant('site', '\uffff');
  const metricFields = metrics.map((metric) => (metric === undefined ? undefined : labelField('__name__', metric)));
  return sites.flatMap((site) => {
    const siteField = labelField('site', site);
    return metricFields.map((metric) =>
      metric === undefined ? undefined : join([first, metric, middle, siteField, last]),
    );
  });
}

function compare(one: string, other: string): number {
  return one < other ? -1 : one > other ? 1 : 0;
}

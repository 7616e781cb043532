/** One metric of a run over steps (docs/api.md, Series): frames from the store, down-sampled so that no extreme is lost. */
import { columnOf, type Frame } from '../src/frame.ts';
import { createDownsampler } from './downsample.ts';
import { type JsonNumber, jsonNumberAt } from './json.ts';
import type { RunRecord } from './run-record.ts';
import type { Store } from './store.ts';

export interface Series {
  readonly metric: string;
  readonly steps: readonly number[];
  readonly times: readonly number[];
  readonly sites: readonly string[];
  /** One list for each site. */
  readonly values: readonly (readonly JsonNumber[])[];
  readonly scalars: Readonly<Record<string, readonly JsonNumber[]>>;
}

export interface SeriesQuery {
  readonly metric: string;
  readonly points: number;
  readonly from: number;
  readonly to: number;
}

/** What is kept of a frame. */
interface Point {
  readonly step: number;
  readonly time: number;
  /** The metric at every site that the frame had. */
  readonly values: Float32Array;
  readonly scalars: Float64Array;
}

/** Reads and down-samples a series; the metric must be one of the run's. Frames that arrive meanwhile are left out. */
export async function readSeries(
  store: Store,
  { id, description, progress }: RunRecord,
  query: SeriesQuery,
): Promise<Series> {
  const range = { from: query.from, to: query.to, lastSequence: progress.lastSequence };
  const column = description.metrics.indexOf(query.metric);
  const downsampler = createDownsampler<Point>(await store.countFrames(id, range), query.points);
  for await (const page of store.frames(id, range)) {
    for (const { frame } of page) downsampler.add(toCandidate(toPoint(frame, column, description.metrics.length)));
  }
  const points = downsampler.kept();
  return {
    metric: query.metric,
    steps: points.map((point) => point.step),
    times: points.map((point) => point.time),
    sites: description.sites.map((site) => site.name),
    values: description.sites.map((_, site) => points.map((point) => jsonNumberAt(point.values, site))),
    scalars: Object.fromEntries(
      description.scalars.map((name, index) => [name, points.map((point) => jsonNumberAt(point.scalars, index))]),
    ),
  };
}

function toPoint(frame: Frame, column: number, metrics: number): Point {
  return {
    step: frame.step,
    time: frame.time,
    values: columnOf(frame.values, column, metrics),
    scalars: frame.scalars,
  };
}

function toCandidate(payload: Point): { payload: Point; highest: number; lowest: number } {
  let highest = Number.NaN;
  let lowest = Number.NaN;
  for (const value of payload.values) {
    if (Number.isNaN(value)) continue;
    if (!(value <= highest)) highest = value;
    if (!(value >= lowest)) lowest = value;
  }
  return { payload, highest, lowest };
}

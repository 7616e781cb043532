/**
 * One metric or scalar of a run over steps (docs/api.md, Series), down-sampled so that no extreme is lost: from roll-ups where a point
 * stands for more frames than a bucket has, from frames otherwise.
 */
import { decodeFrame } from '../src/frame.ts';
import { createDownsampler } from './downsample.ts';
import { type JsonNumber, jsonNumberAt } from './json.ts';
import { decodeRollup, extremesOf, type Point, pointOf } from './rollup.ts';
import { planSeries, type SeriesPlan } from './series-plan.ts';
import { firstPage, type PageRequest, type Reading } from './sqlite/reading.ts';
import type { SeriesRequest } from './store.ts';

export interface Series {
  readonly metric: string;
  readonly steps: readonly number[];
  readonly times: readonly number[];
  readonly sites: readonly string[];
  /** One list for each site; none for a scalar. */
  readonly values: readonly (readonly JsonNumber[])[];
  readonly scalars: Readonly<Record<string, readonly JsonNumber[]>>;
}

/** Roll-ups read before others get their turn. */
const pieceRollups = 256;

/** Reads a series in pieces, between which others get their turn. Frames that arrive meanwhile are left out. */
export async function readSeries(reading: Reading, run: number, request: SeriesRequest): Promise<Series> {
  const { range, metrics } = request;
  const series = seriesNumber(request);
  const plan = planSeries(reading, run, range, request.points);
  const coarse = await readCoarsely(reading, run, plan, request);
  const fine = reading.countFrames(run, range, plan.framesAbove);
  const downsampler = createDownsampler<Point>(coarse.length + fine, request.points);
  const add = (point: Point): void => downsampler.add({ payload: point, ...extremesOf(point, series, metrics.length) });
  let next = 0;
  for (let page: PageRequest | undefined = firstPage(range); page !== undefined; ) {
    const { frames, next: following } = reading.page(run, range, plan.framesAbove, page);
    for (const bytes of frames) {
      const point = pointOf(decodeFrame(new Uint8Array(bytes)).frame, series, metrics.length);
      while (next < coarse.length && inOrder(coarse[next] as Point, point) < 0) add(coarse[next++] as Point);
      add(point);
    }
    page = following;
    if (page !== undefined) await turnOfOthers();
  }
  while (next < coarse.length) add(coarse[next++] as Point);
  return toSeries(request, downsampler.kept());
}

/** The points of the roll-ups and the edges, by step and sequence: a run that went back to a checkpoint has older ones between. */
async function readCoarsely(
  reading: Reading,
  run: number,
  { rollups, edges }: SeriesPlan,
  request: SeriesRequest,
): Promise<Point[]> {
  const series = seriesNumber(request);
  const { from, to } = request.range;
  const points: Point[] = [];
  const take = (point: Point): void => {
    if (point.step >= from && point.step <= to) points.push(point);
  };
  for (const stretch of rollups) {
    for (let first = stretch.from; first <= stretch.to; first += pieceRollups) {
      const last = Math.min(stretch.to, first + pieceRollups - 1);
      for (const bytes of reading.rollups(run, stretch.level, series, first, last)) {
        const { highest, lowest } = decodeRollup(bytes);
        take(highest);
        if (lowest.sequence !== highest.sequence) take(lowest);
      }
      await turnOfOthers();
    }
  }
  for (const { above, to: last } of edges) {
    for (const bytes of reading.stretch(run, above, last))
      take(pointOf(decodeFrame(new Uint8Array(bytes)).frame, series, request.metrics.length));
  }
  return points.sort(inOrder);
}

function seriesNumber({ name, metrics, scalars }: SeriesRequest): number {
  const metric = metrics.indexOf(name);
  return metric >= 0 ? metric : metrics.length + scalars.indexOf(name);
}

function inOrder(one: Point, other: Point): number {
  return one.step - other.step || one.sequence - other.sequence;
}

function toSeries({ name, sites, metrics, scalars }: SeriesRequest, points: readonly Point[]): Series {
  const rows = metrics.includes(name) ? sites : [];
  return {
    metric: name,
    steps: points.map((point) => point.step),
    times: points.map((point) => point.time),
    sites: rows,
    values: rows.map((_, site) => points.map((point) => jsonNumberAt(point.values, site))),
    scalars: Object.fromEntries(
      scalars.map((scalar, index) => [scalar, points.map((point) => jsonNumberAt(point.scalars, index))]),
    ),
  };
}

function turnOfOthers(): Promise<void> {
  return new Promise((resolve) => setImmediate(resolve));
}

/**
 * One metric or scalar of a run over steps (docs/api.md, Series), down-sampled so that no extreme is lost: from roll-ups where a point
 * stands for more frames than a bucket has, from frames otherwise.
 */
import { decodeFrame } from '../src/frame.ts';
import { createDownsampler } from './downsample.ts';
import { createEnvelope, type Stretch } from './envelope.ts';
import { type JsonNumber, jsonNumberAt } from './json.ts';
import { decodeRollup, extremesOf, type Point, pointOf } from './rollup.ts';
import { planSeries, type SeriesPlan } from './series-plan.ts';
import { firstPage, type PageRequest, type Reading } from './sqlite/reading.ts';
import type { SeriesRequest } from './store.ts';
import { isWithin } from './time-axis.ts';

export interface Series {
  readonly metric: string;
  readonly steps: readonly number[];
  readonly times: readonly number[];
  readonly sites: readonly string[];
  /** One list for each site; none for a scalar. */
  readonly values: readonly (readonly JsonNumber[])[];
  readonly scalars: Readonly<Record<string, readonly JsonNumber[]>>;
  /** Where it was asked for, and for a metric only. */
  readonly envelope?: EnvelopeView;
}

/** Each site's own extremes over stretches of steps, both ends inclusive. */
export interface EnvelopeView {
  readonly from: readonly number[];
  readonly to: readonly number[];
  /** One list for each site. */
  readonly minima: readonly (readonly JsonNumber[])[];
  readonly maxima: readonly (readonly JsonNumber[])[];
}

/** A series before it becomes JSON. */
export interface CollectedSeries {
  readonly points: readonly Point[];
  /** Of each site; none unless the request asks for it, and for a scalar. */
  readonly envelope: readonly Stretch[] | undefined;
}

/** Roll-ups read before others get their turn. */
const pieceRollups = 256;

/** Reads a series in pieces, between which others get their turn. Frames that arrive meanwhile are left out. */
export async function readSeries(reading: Reading, run: number, request: SeriesRequest): Promise<Series> {
  return toSeries(request, await collectSeries(reading, run, request));
}

/** @param request Its range is in steps and sequence numbers; `times` is held against each point beside that. */
export async function collectSeries(reading: Reading, run: number, request: SeriesRequest): Promise<CollectedSeries> {
  const { range, metrics, times, sites, points: most } = request;
  const series = seriesNumber(request);
  const plan = planSeries(reading, run, range, most);
  const coarse = await readCoarsely(reading, run, plan, request);
  const fine = reading.countFrames(run, range, plan.framesAbove);
  const downsampler = createDownsampler<Point>(coarse.points.length + fine, most);
  const stretched = coarse.stretches.reduce((sum, { frames }) => sum + frames, 0) + fine;
  const envelope =
    request.extremes === 'sites' && series < metrics.length
      ? createEnvelope(stretched, stretched <= most ? most : Math.floor(most / 2), sites.length)
      : undefined;
  const add = (point: Point): void => downsampler.add({ payload: point, ...extremesOf(point, series, metrics.length) });
  let next = 0;
  let nextStretch = 0;
  const addCoarse = (before: (one: { readonly step: number; readonly sequence: number }) => boolean): void => {
    for (; next < coarse.points.length && before(coarse.points[next] as Point); next++)
      add(coarse.points[next] as Point);
    for (; nextStretch < coarse.stretches.length; nextStretch++) {
      const stretch = coarse.stretches[nextStretch] as Stretch;
      if (!before({ step: stretch.from, sequence: 0 })) return;
      envelope?.add(stretch);
    }
  };
  for (let page: PageRequest | undefined = firstPage(range); page !== undefined; ) {
    const { frames, next: following } = reading.page(run, range, plan.framesAbove, page);
    for (const bytes of frames) {
      const point = pointOf(decodeFrame(new Uint8Array(bytes)).frame, series, metrics.length);
      if (!isWithin(point.time, times)) continue;
      addCoarse((one) => inOrder(one, point) < 0);
      add(point);
      envelope?.add(stretchOf(point));
    }
    page = following;
    if (page !== undefined) await turnOfOthers();
  }
  addCoarse(() => true);
  const points = downsampler.kept();
  if (times !== undefined) points.sort((one, other) => one.sequence - other.sequence);
  return { points, envelope: envelope?.stretches() };
}

interface Coarse {
  readonly points: readonly Point[];
  /** By their lowest steps. */
  readonly stretches: readonly Stretch[];
}

/** The points of the roll-ups and the edges, by step and sequence: a run that went back to a checkpoint has older ones between. */
async function readCoarsely(
  reading: Reading,
  run: number,
  { rollups, edges }: SeriesPlan,
  request: SeriesRequest,
): Promise<Coarse> {
  const { range, times, extremes } = request;
  const series = seriesNumber(request);
  const points: Point[] = [];
  const stretches: Stretch[] = [];
  const take = (point: Point): boolean => {
    const isTaken = point.step >= range.from && point.step <= range.to && isWithin(point.time, times);
    if (isTaken) points.push(point);
    return isTaken;
  };
  for (const stretch of rollups) {
    for (let first = stretch.from; first <= stretch.to; first += pieceRollups) {
      const last = Math.min(stretch.to, first + pieceRollups - 1);
      const found = reading.rollups(run, stretch.level, series, first, last);
      const buckets =
        extremes === 'sites'
          ? reading.buckets(run, stretch.level, { from: first, to: last }, Number.MAX_SAFE_INTEGER)
          : [];
      for (const [index, bytes] of found.entries()) {
        const { highest, lowest, minima, maxima } = decodeRollup(bytes);
        const isTaken = take(highest);
        if (lowest.sequence !== highest.sequence && !take(lowest) && !isTaken) continue;
        const bucket = buckets[index];
        if (bucket === undefined) continue;
        const { frames, lowest_step: from, highest_step: to } = bucket;
        stretches.push({ from, to, frames, minima, maxima });
      }
      await turnOfOthers();
    }
  }
  for (const { above, to: last } of edges) {
    for (const bytes of reading.stretch(run, above, last)) {
      const point = pointOf(decodeFrame(new Uint8Array(bytes)).frame, series, request.metrics.length);
      if (take(point) && extremes === 'sites') stretches.push(stretchOf(point));
    }
  }
  return { points: points.sort(inOrder), stretches: stretches.sort((one, other) => one.from - other.from) };
}

function stretchOf({ step, values }: Point): Stretch {
  return { from: step, to: step, frames: 1, minima: values, maxima: values };
}

export function seriesNumber({ name, metrics, scalars }: SeriesRequest): number {
  const metric = metrics.indexOf(name);
  return metric >= 0 ? metric : metrics.length + scalars.indexOf(name);
}

type Ordered = Pick<Point, 'step' | 'sequence'>;

function inOrder(one: Ordered, other: Ordered): number {
  return one.step - other.step || one.sequence - other.sequence;
}

function toSeries({ name, sites, metrics, scalars }: SeriesRequest, { points, envelope }: CollectedSeries): Series {
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
    ...(envelope === undefined ? {} : { envelope: toEnvelopeView(rows.length, envelope) }),
  };
}

function toEnvelopeView(sites: number, stretches: readonly Stretch[]): EnvelopeView {
  const bySite = (side: 'minima' | 'maxima'): JsonNumber[][] =>
    Array.from({ length: sites }, (_, site) => stretches.map((stretch) => jsonNumberAt(stretch[side], site)));
  return {
    from: stretches.map(({ from }) => from),
    to: stretches.map(({ to }) => to),
    minima: bySite('minima'),
    maxima: bySite('maxima'),
  };
}

function turnOfOthers(): Promise<void> {
  return new Promise((resolve) => setImmediate(resolve));
}

/**
 * Roll-ups: what is kept of a stretch of frames, a bucket, for one series (a metric at every site, or a scalar). Pure.
 *
 * The frames that hold the bucket's largest and smallest value, and its last frame, are kept as points: their values stand at the
 * steps where they were measured. Beside them each site's own smallest and largest value. What was not measured stays apart from
 * NaN, bit by bit (`isMeasured`).
 */
import { absentScalars, absentValues, columnOf, type Frame } from '../src/frame.ts';

/** One series of a frame. */
export interface Point {
  readonly sequence: number;
  readonly step: number;
  readonly time: number;
  /** All scalars of the frame. */
  readonly scalars: Float64Array;
  /** The metric at every site; empty for the series of a scalar. */
  readonly values: Float32Array;
}

export interface Rollup {
  readonly highest: Point;
  readonly lowest: Point;
  readonly last: Point;
  /** Of every site over the bucket: NaN only where every measured value was, absent where none was measured. */
  readonly minima: Float32Array;
  readonly maxima: Float32Array;
}

/** The largest and smallest number in a point's series; NaN when it has none. Infinities are numbers here. */
export interface Extremes {
  readonly highest: number;
  readonly lowest: number;
}

const absentBits = new Uint32Array(absentValues(1).buffer)[0] as number;

/** A frame's series by its number: metrics first, in their columns, then scalars. */
export function pointOf(frame: Frame, series: number, metrics: number): Point {
  const { sequence, step, time, scalars, values } = frame;
  if (series >= metrics) return { sequence, step, time, scalars, values: new Float32Array(0) };
  return { sequence, step, time, scalars, values: columnOf(values, series, metrics) };
}

export function extremesOf(point: Point, series: number, metrics: number): Extremes {
  if (series >= metrics) return extremesOfScalar(point.scalars, series - metrics);
  let highest = Number.NaN;
  let lowest = Number.NaN;
  for (const value of point.values) {
    if (Number.isNaN(value)) continue;
    if (!(value <= highest)) highest = value;
    if (!(value >= lowest)) lowest = value;
  }
  return { highest, lowest };
}

function extremesOfScalar(scalars: Float64Array, index: number): Extremes {
  const value = scalars[index] ?? Number.NaN;
  return { highest: value, lowest: value };
}

/** Rolls frames (at least one, in the order of their sequence) up: every series of theirs, by its number. */
export function rollUp(frames: readonly Frame[], metrics: number): Rollup[] {
  const scan = new Scan(Math.max(...frames.map((frame) => frame.values.length)), metrics);
  for (const frame of frames) scan.add(frame);
  const last = frames.at(-1) as Frame;
  const rollups = Array.from(
    { length: metrics },
    (_, series): Rollup => ({
      highest: pointOf(frames[scan.highestAt[series] as number] as Frame, series, metrics),
      lowest: pointOf(frames[scan.lowestAt[series] as number] as Frame, series, metrics),
      last: pointOf(last, series, metrics),
      minima: columnOf(scan.minima, series, metrics),
      maxima: columnOf(scan.maxima, series, metrics),
    }),
  );
  for (let series = metrics; series < metrics + last.scalars.length; series++) {
    const extremes = frames.map(({ scalars }) => extremesOfScalar(scalars, series - metrics));
    rollups.push({
      highest: pointOf(frames[placeOfHighest(extremes)] as Frame, series, metrics),
      lowest: pointOf(frames[placeOfLowest(extremes)] as Frame, series, metrics),
      last: pointOf(last, series, metrics),
      minima: new Float32Array(0),
      maxima: new Float32Array(0),
    });
  }
  return rollups;
}

/**
 * Goes over each frame's matrix once, as it lies in memory. This runs for every frame that is stored: no allocation, and comparisons
 * that take a NaN in the place of a result for "nothing yet".
 */
class Scan {
  readonly #metrics: number;
  /** In the layout of the frames' values. */
  readonly minima: Float32Array;
  readonly maxima: Float32Array;
  /** By metric: which frame, counted from 0, has the extreme. */
  readonly highestAt: Uint32Array;
  readonly lowestAt: Uint32Array;
  readonly #highest: Float32Array;
  readonly #lowest: Float32Array;
  #frames = 0;

  constructor(length: number, metrics: number) {
    this.#metrics = metrics;
    this.minima = absentValues(length);
    this.maxima = absentValues(length);
    this.highestAt = new Uint32Array(metrics);
    this.lowestAt = new Uint32Array(metrics);
    this.#highest = absentValues(metrics);
    this.#lowest = absentValues(metrics);
  }

  add({ values }: Frame): void {
    const { minima, maxima, highestAt, lowestAt } = this;
    const highest = this.#highest;
    const lowest = this.#lowest;
    const metrics = this.#metrics;
    const frame = this.#frames++;
    const bits = bitsOf(values);
    for (let index = 0, series = 0; index < values.length; index++, series++) {
      if (series === metrics) series = 0;
      const value = values[index] as number;
      if (!Number.isNaN(value)) {
        if (!(value >= (minima[index] as number))) minima[index] = value;
        if (!(value <= (maxima[index] as number))) maxima[index] = value;
        if (!(value <= (highest[series] as number))) {
          highest[series] = value;
          highestAt[series] = frame;
        }
        if (!(value >= (lowest[series] as number))) {
          lowest[series] = value;
          lowestAt[series] = frame;
        }
      } else {
        keepMeasured(minima, index, bits);
        keepMeasured(maxima, index, bits);
      }
    }
  }
}

/** One roll-up of several (at least one, in the order of their sequence) of the same series. */
export function mergeRollups(parts: readonly Rollup[], series: number, metrics: number): Rollup {
  const highs = parts.map((part) => extremesOf(part.highest, series, metrics));
  const lows = parts.map((part) => extremesOf(part.lowest, series, metrics));
  return {
    highest: (parts[placeOfHighest(highs)] as Rollup).highest,
    lowest: (parts[placeOfLowest(lows)] as Rollup).lowest,
    last: (parts.at(-1) as Rollup).last,
    ...envelope(
      parts.map((part) => part.minima),
      parts.map((part) => part.maxima),
    ),
  };
}

/** A number beats NaN; among equals the first stays. */
function placeOfHighest(extremes: readonly Extremes[]): number {
  let place = 0;
  let best = Number.NaN;
  for (const [index, { highest }] of extremes.entries()) {
    if (Number.isNaN(highest) || highest <= best) continue;
    place = index;
    best = highest;
  }
  return place;
}

function placeOfLowest(extremes: readonly Extremes[]): number {
  let place = 0;
  let best = Number.NaN;
  for (const [index, { lowest }] of extremes.entries()) {
    if (Number.isNaN(lowest) || lowest >= best) continue;
    place = index;
    best = lowest;
  }
  return place;
}

function envelope(lows: readonly Float32Array[], highs: readonly Float32Array[]): Pick<Rollup, 'minima' | 'maxima'> {
  const sites = Math.max(...lows.map((values) => values.length));
  const minima = absentValues(sites);
  const maxima = absentValues(sites);
  for (const values of lows) lower(minima, values);
  for (const values of highs) raise(maxima, values);
  return { minima, maxima };
}

/** Takes the smaller values in. */
export function lower(minima: Float32Array, values: Float32Array): void {
  const bits = bitsOf(values);
  for (let site = 0; site < values.length; site++) {
    const value = values[site] as number;
    if (Number.isNaN(value)) keepMeasured(minima, site, bits);
    else if (!(value >= (minima[site] as number))) minima[site] = value;
  }
}

/** Takes the larger values in. */
export function raise(maxima: Float32Array, values: Float32Array): void {
  const bits = bitsOf(values);
  for (let site = 0; site < values.length; site++) {
    const value = values[site] as number;
    if (Number.isNaN(value)) keepMeasured(maxima, site, bits);
    else if (!(value <= (maxima[site] as number))) maxima[site] = value;
  }
}

/** A NaN that was measured takes the place of "not measured", and of nothing else. */
function keepMeasured(kept: Float32Array, site: number, bits: Uint32Array): void {
  if (bits[site] !== absentBits && Number.isNaN(kept[site])) bitsOf(kept)[site] = bits[site] as number;
}

function bitsOf(values: Float32Array): Uint32Array {
  return new Uint32Array(values.buffer, values.byteOffset, values.length);
}

/**
 * As bytes, in the byte order of the machine as frames are: u32 sites S, u32 scalars C; three points, each f64 sequence, step, time
 * and f64 x C; then f32 x S: the values of the points, minima, maxima. Lists of earlier frames that were shorter are filled up.
 */
export function encodeRollup({ highest, lowest, last, minima, maxima }: Rollup): Uint8Array {
  const points = [highest, lowest, last];
  const sites = Math.max(minima.length, maxima.length);
  const scalars = Math.max(...points.map((point) => point.scalars.length));
  const bytes = new Uint8Array(rollupBytes(sites, scalars));
  new Uint32Array(bytes.buffer, 0, 2).set([sites, scalars]);
  let offset = 8;
  const put = (array: Float32Array | Float64Array): void => {
    bytes.set(new Uint8Array(array.buffer, array.byteOffset, array.byteLength), offset);
    offset += array.byteLength;
  };
  for (const point of points) {
    put(Float64Array.of(point.sequence, point.step, point.time));
    put(point.scalars);
    put(absentScalars(scalars - point.scalars.length));
  }
  for (const values of [...points.map((point) => point.values), minima, maxima]) {
    put(values);
    put(absentValues(sites - values.length));
  }
  return bytes;
}

/** The roll-up of bytes that `encodeRollup` wrote. */
export function decodeRollup(buffer: ArrayBuffer): Rollup {
  const [sites = 0, scalars = 0] = new Uint32Array(buffer, 0, 2);
  const valuesAt = 8 + 3 * 8 * (3 + scalars);
  const pointAt = (place: number): Point => {
    const start = 8 + place * 8 * (3 + scalars);
    const [sequence = 0, step = 0, time = 0] = new Float64Array(buffer, start, 3);
    const values = new Float32Array(buffer, valuesAt + place * 4 * sites, sites);
    return { sequence, step, time, scalars: new Float64Array(buffer, start + 24, scalars), values };
  };
  return {
    highest: pointAt(0),
    lowest: pointAt(1),
    last: pointAt(2),
    minima: new Float32Array(buffer, valuesAt + 3 * 4 * sites, sites),
    maxima: new Float32Array(buffer, valuesAt + 4 * 4 * sites, sites),
  };
}

function rollupBytes(sites: number, scalars: number): number {
  return 8 + 3 * 8 * (3 + scalars) + 5 * 4 * sites;
}

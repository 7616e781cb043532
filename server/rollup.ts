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
  return extremesOfColumn(point.values, 0, 1);
}

function extremesOfColumn(values: Float32Array, column: number, metrics: number): Extremes {
  let highest = Number.NaN;
  let lowest = Number.NaN;
  for (let index = column; index < values.length; index += metrics) {
    const value = values[index] as number;
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
  const { minima, maxima } = envelopeOf(frames);
  const last = frames.at(-1) as Frame;
  const rollups = Array.from(
    { length: metrics },
    (_, series): Rollup => ({
      highest: pointOf(firstWith(maxima, 'highest', frames, series, metrics), series, metrics),
      lowest: pointOf(firstWith(minima, 'lowest', frames, series, metrics), series, metrics),
      last: pointOf(last, series, metrics),
      minima: columnOf(minima, series, metrics),
      maxima: columnOf(maxima, series, metrics),
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
 * The smallest and largest value at each place of the frames' matrix. This runs over every value that is stored: two comparisons each,
 * which a NaN fails. Places that are left without a number are looked at a second time.
 */
function envelopeOf(frames: readonly Frame[]): Pick<Rollup, 'minima' | 'maxima'> {
  const length = Math.max(...frames.map((frame) => frame.values.length));
  const minima = new Float32Array(length).fill(Number.POSITIVE_INFINITY);
  const maxima = new Float32Array(length).fill(Number.NEGATIVE_INFINITY);
  for (const { values } of frames) {
    for (let index = 0; index < values.length; index++) {
      const value = values[index] as number;
      if (value < (minima[index] as number)) minima[index] = value;
      if (value > (maxima[index] as number)) maxima[index] = value;
    }
  }
  const absent = absentValues(1);
  for (let index = 0; index < length; index++) {
    if ((minima[index] as number) <= (maxima[index] as number)) continue;
    for (const kept of [minima, maxima]) {
      kept.set(absent, index);
      for (const { values } of frames) if (index < values.length) keepMeasured(kept, index, bitsOf(values));
    }
  }
  return { minima, maxima };
}

/** The first frame that has a series' extreme, which is at one site or more of the envelope; the first of all where nothing is a number. */
function firstWith(
  envelope: Float32Array,
  extreme: keyof Extremes,
  frames: readonly Frame[],
  series: number,
  metrics: number,
): Frame {
  const { [extreme]: wanted } = extremesOfColumn(envelope, series, metrics);
  let first = frames.length;
  for (let index = series; index < envelope.length; index += metrics) {
    if (envelope[index] !== wanted) continue;
    for (let place = 0; place < first; place++) if (frames[place]?.values[index] === wanted) first = place;
  }
  return frames[first] ?? (frames[0] as Frame);
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

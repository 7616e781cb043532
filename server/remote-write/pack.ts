/** Frames and ends of runs as series in requests. Pure but for the encoder, which is filled and handed out again and again. */
import { type Frame, isMeasured } from '../../src/frame.ts';
import type { RequestEncoder } from './protobuf.ts';
import type { RunSeries } from './series.ts';
import { firstValue, type SeriesSet } from './series-set.ts';

/** What of one run goes out. */
export interface Part {
  readonly series: RunSeries;
  readonly frames: readonly Frame[];
  /** One for each frame. */
  readonly times: readonly number[];
  /** When all series that were ever sent end; undefined while the run goes on. */
  readonly endsAt: number | undefined;
  /** Series that were ever sent; those of the frames are added. */
  readonly sent: SeriesSet;
}

/**
 * Fills requests: each time one is full, and at the end, it yields; the caller sends and clears the encoder. All samples of a series stand
 * together, so that its labels are sent once. What was not measured is left out.
 */
export function* pack(parts: readonly Part[], encoder: RequestEncoder, mostSamples: number): Generator<void> {
  for (const part of parts) {
    for (const _ of part.endsAt === undefined ? packFrames(part, encoder) : packEnd(part, part.endsAt, encoder)) {
      if (encoder.samples >= mostSamples) yield;
    }
  }
  if (encoder.samples > 0) yield;
}

/** Yields after every series. */
function* packFrames({ series, frames, times, sent }: Part, encoder: RequestEncoder): Generator<void> {
  if (frames.length === 0) return;
  const one = frames.map(() => 1);
  encoder.add(series.info, one, times);
  yield;
  encoder.add(
    series.step,
    frames.map((frame) => frame.step),
    times,
  );
  yield;
  const values = new Float64Array(frames.length);
  const measuredAt = new Float64Array(frames.length);
  const put = (labels: Uint8Array, index: number, arrays: readonly (Float64Array | Float32Array)[]): number => {
    let count = 0;
    for (let place = 0; place < arrays.length; place++) {
      const array = arrays[place] as Float64Array | Float32Array;
      if (!isMeasured(array, index)) continue;
      values[count] = array[index] as number;
      measuredAt[count] = times[place] as number;
      count += 1;
    }
    if (count > 0) encoder.add(labels, values, measuredAt, count);
    return count;
  };
  const scalars = frames.map((frame) => frame.scalars);
  for (const [index, labels] of series.scalars.entries()) {
    if (put(labels, index, scalars) > 0) sent.add(index);
    yield;
  }
  const rows = frames.map((frame) => frame.values);
  for (let index = 0; index < series.values.length; index++) {
    const labels = series.values[index];
    if (labels === undefined || put(labels, index, rows) === 0) continue;
    sent.add(firstValue + index);
    yield;
  }
}

function* packEnd({ series, sent }: Part, time: number, encoder: RequestEncoder): Generator<void> {
  const ended = [
    series.info,
    series.step,
    ...series.scalars.filter((_, index) => sent.has(index)),
    ...series.values.filter((_, index) => sent.has(firstValue + index)),
  ];
  for (const labels of ended) {
    if (labels === undefined) continue;
    encoder.addStale(labels, time);
    yield;
  }
}

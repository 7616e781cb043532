/** Each site's own smallest and largest value over stretches of frames: what a series of whole frames leaves out. Pure. */
import { absentValues } from '../src/frame.ts';
import { lower, raise } from './rollup.ts';

/** One frame, or several of a roll-up. */
export interface Stretch {
  /** Lowest and highest step. */
  readonly from: number;
  readonly to: number;
  readonly frames: number;
  /** By site; NaN only where every measured value was, absent where none was measured. */
  readonly minima: Float32Array;
  readonly maxima: Float32Array;
}

export interface EnvelopeBuilder {
  /** Takes the next stretch, in order. */
  add(stretch: Stretch): void;
  stretches(): Stretch[];
}

/** Joins stretches of `total` frames in all to at most `most`, of about as many frames each. */
export function createEnvelope(total: number, most: number, sites: number): EnvelopeBuilder {
  const count = Math.min(total, most);
  const done: Stretch[] = [];
  let open: { -readonly [Key in keyof Stretch]: Stretch[Key] } | undefined;
  let place = 0;
  let seen = 0;

  function flush(): void {
    if (open !== undefined) done.push(open);
    open = undefined;
  }

  return {
    add({ from, to, frames, minima, maxima }) {
      const own = Math.min(Math.floor((seen * count) / total), count - 1);
      if (own !== place) flush();
      place = own;
      seen += frames;
      open ??= { from, to, frames: 0, minima: absentValues(sites), maxima: absentValues(sites) };
      open.from = Math.min(open.from, from);
      open.to = Math.max(open.to, to);
      open.frames += frames;
      lower(open.minima, minima);
      raise(open.maxima, maxima);
    },
    stretches() {
      flush();
      return done;
    },
  };
}

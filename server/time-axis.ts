/**
 * A range of times as one of sequence numbers. Frames have no index by time: it is the trainer's clock, which goes up with the sequence
 * but for corrections, so a few frames are looked at, by halving. Pure but for the function that reads them.
 */

export interface TimeRange {
  /** Milliseconds since 1970 by the trainer's clock, both ends inclusive. */
  readonly from: number;
  readonly to: number;
}

export interface SequenceRange {
  /** Exclusive. */
  readonly aboveSequence: number;
  /** Inclusive. */
  readonly lastSequence: number;
}

/** Reads the first frame at or above a sequence number. */
export type FrameFrom = (sequence: number) => { readonly sequence: number; readonly time: number } | undefined;

/** Which of the frames within `bounds` were made in a range of times. */
export function sequencesBetween(frameFrom: FrameFrom, { from, to }: TimeRange, bounds: SequenceRange): SequenceRange {
  const first = firstWhere(frameFrom, bounds, (time) => time >= from);
  const after = firstWhere(frameFrom, bounds, (time) => time > to);
  return { aboveSequence: first - 1, lastSequence: after - 1 };
}

export function isWithin(time: number, range: TimeRange | undefined): boolean {
  return range === undefined || (time >= range.from && time <= range.to);
}

/** A sequence number such that frames below it do not fulfil the condition and those from it on do. */
function firstWhere(
  frameFrom: FrameFrom,
  { aboveSequence, lastSequence }: SequenceRange,
  fulfils: (time: number) => boolean,
): number {
  let low = aboveSequence + 1;
  let high = lastSequence;
  while (low <= high) {
    const middle = low + Math.floor((high - low) / 2);
    const frame = frameFrom(middle);
    // Numbers may be missing between the middle and the frame that was found.
    if (frame === undefined || frame.sequence > high || fulfils(frame.time)) high = middle - 1;
    else low = frame.sequence + 1;
  }
  return low;
}

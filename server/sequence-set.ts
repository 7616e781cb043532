/** A set of sequence numbers as ranges: those of a run are nearly all of 0, 1, 2, ..., so it takes next to no memory. Pure. */

/** Ends included. */
export interface Range {
  readonly from: number;
  readonly to: number;
}

export interface SequenceSet {
  add(sequence: number): 'added' | 'already there';
  size(): number;
  /** -1 for none. */
  highest(): number;
  /** Forgets all up to a number. */
  dropUpTo(sequence: number): void;
  /** What is missing, ends included; at most `most` ranges, but all of them counted. */
  missing(from: number, to: number, most: number): { readonly gaps: readonly Range[]; readonly missing: number };
}

export function createSequenceSet(): SequenceSet {
  /** Apart from each other, ascending. */
  const ranges: { from: number; to: number }[] = [];

  /** The place of the first range that ends at a number or above it. */
  function placeOf(sequence: number): number {
    let [low, high] = [0, ranges.length];
    // Nearly always it is the end.
    if ((ranges.at(-1)?.to ?? -1) < sequence) return ranges.length;
    while (low < high) {
      const middle = (low + high) >>> 1;
      if ((ranges[middle] as Range).to < sequence) low = middle + 1;
      else high = middle;
    }
    return low;
  }

  return {
    add(sequence) {
      const place = placeOf(sequence);
      const [before, after] = [ranges[place - 1], ranges[place]];
      if (after !== undefined && after.from <= sequence) return 'already there';
      const joinsBefore = before?.to === sequence - 1;
      const joinsAfter = after?.from === sequence + 1;
      if (joinsBefore && joinsAfter) {
        before.to = after.to;
        ranges.splice(place, 1);
      } else if (joinsBefore) before.to = sequence;
      else if (joinsAfter) after.from = sequence;
      else ranges.splice(place, 0, { from: sequence, to: sequence });
      return 'added';
    },
    size: () => ranges.reduce((sum, { from, to }) => sum + (to - from + 1), 0),
    highest: () => ranges.at(-1)?.to ?? -1,
    dropUpTo(sequence) {
      const place = placeOf(sequence + 1);
      ranges.splice(0, place);
      if (ranges[0] !== undefined) ranges[0].from = Math.max(ranges[0].from, sequence + 1);
    },
    missing(first, last, most) {
      const gaps: Range[] = [];
      let missing = 0;
      let next = first;
      for (const { from, to } of [...ranges, { from: last + 1, to: last + 1 }]) {
        if (from > next) {
          missing += from - next;
          if (gaps.length < most) gaps.push({ from: next, to: from - 1 });
        }
        next = Math.max(next, to + 1);
      }
      return { gaps, missing };
    },
  };
}

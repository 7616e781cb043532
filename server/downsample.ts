/**
 * Down-sampling that keeps extremes: frames in buckets of equal count, of each the frame with the largest value and the one with the
 * smallest. Pure; takes frames one by one, so a long run is never held as a whole.
 */

/** One candidate for the series: any payload, with the largest and smallest finite-or-infinite value in it (NaN for none). */
export interface Candidate<Payload> {
  readonly payload: Payload;
  readonly highest: number;
  readonly lowest: number;
}

export interface Downsampler<Payload> {
  /** Takes the next candidate, in order. */
  add(candidate: Candidate<Payload>): void;
  /** The kept payloads in order; at most `points`. */
  kept(): Payload[];
}

/** Keeps at most `points` (2 or more) of `total` candidates; all of them when they fit. */
export function createDownsampler<Payload>(total: number, points: number): Downsampler<Payload> {
  const buckets = total <= points ? total : Math.floor(points / 2);
  const kept: Payload[] = [];
  let index = 0;
  let bucket = 0;
  let highest: Placed<Payload> | undefined;
  let lowest: Placed<Payload> | undefined;

  function flush(): void {
    if (highest === undefined || lowest === undefined) return;
    if (highest.index === lowest.index) kept.push(highest.payload);
    else if (highest.index < lowest.index) kept.push(highest.payload, lowest.payload);
    else kept.push(lowest.payload, highest.payload);
    highest = undefined;
    lowest = undefined;
  }

  return {
    add(candidate) {
      // Bucket b holds the candidates from b * total / buckets on: equal counts, one more or less.
      const own = Math.min(Math.floor((index * buckets) / total), buckets - 1);
      if (own !== bucket) flush();
      bucket = own;
      const placed = { ...candidate, index: index++ };
      // A number beats a candidate without any; among equals the first stays.
      if (
        highest === undefined ||
        placed.highest > highest.highest ||
        (Number.isNaN(highest.highest) && !Number.isNaN(placed.highest))
      ) {
        highest = placed;
      }
      if (
        lowest === undefined ||
        placed.lowest < lowest.lowest ||
        (Number.isNaN(lowest.lowest) && !Number.isNaN(placed.lowest))
      ) {
        lowest = placed;
      }
    },
    kept() {
      flush();
      return kept;
    },
  };
}

interface Placed<Payload> extends Candidate<Payload> {
  readonly index: number;
}

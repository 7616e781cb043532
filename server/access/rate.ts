/** Limits on how often: token buckets (the algorithm's name; not access tokens), one alone or one for each key of a bounded table. */

export interface Rate {
  readonly perSecond: number;
  /** How much may come at once after a pause. */
  readonly burst: number;
}

/** Milliseconds of a clock that never goes back. */
export type Clock = () => number;

export const monotonic: Clock = () => performance.now();

export interface Bucket {
  /** Takes an amount, on credit if it must. */
  take(amount: number): void;
  /** Milliseconds until an amount can be had without credit; 0: now. */
  wait(amount: number): number;
  /** Whether all is there again that there can be. */
  readonly full: boolean;
}

export function createBucket({ perSecond, burst }: Rate, clock: Clock = monotonic): Bucket {
  let level = burst;
  let at = clock();
  const refill = (): void => {
    const now = clock();
    level = Math.min(burst, level + ((now - at) * perSecond) / 1000);
    at = now;
  };
  return {
    take(amount) {
      refill();
      level -= amount;
    },
    wait(amount) {
      refill();
      return level >= amount ? 0 : Math.ceil(((amount - level) / perSecond) * 1000);
    },
    get full() {
      refill();
      return level >= burst;
    },
  };
}

export interface RateTable {
  take(key: string): void;
  wait(key: string): number;
  readonly size: number;
}

/** More keys than this are not remembered: those whose last turn is longest ago go first. */
const mostKeys = 10_000;

export function createRateTable(rate: Rate, clock: Clock = monotonic, most = mostKeys): RateTable {
  const buckets = new Map<string, Bucket>();
  return {
    take(key) {
      const bucket = buckets.get(key) ?? createBucket(rate, clock);
      bucket.take(1);
      // Last in the order of the map: the first are those that were not heard of for longest.
      buckets.delete(key);
      buckets.set(key, bucket);
      for (const [first, { full }] of buckets) {
        if (!full && buckets.size <= most) break;
        buckets.delete(first);
      }
    },
    wait: (key) => buckets.get(key)?.wait(1) ?? 0,
    get size() {
      return buckets.size;
    },
  };
}

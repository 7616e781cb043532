/** What the worker thread has taken in and done, readable without asking it: it may be held up by a disk that hangs. */
import type { DeliveryReport } from './delivery.ts';

export type Counters = BigInt64Array<SharedArrayBuffer>;

const slots = { takenBytes: 0, accepted: 1, delivered: 2, dropped: 3, safe: 4, recorded: 5, diskFaults: 6 } as const;

export function createCounters(): Counters {
  return new BigInt64Array(new SharedArrayBuffer(8 * Object.keys(slots).length));
}

export function publish(counters: Counters, takenBytes: number, report: DeliveryReport): void {
  Atomics.add(counters, slots.takenBytes, BigInt(takenBytes));
  for (const name of ['accepted', 'delivered', 'dropped', 'safe', 'recorded', 'diskFaults'] as const) {
    Atomics.store(counters, slots[name], BigInt(report[name]));
  }
}

export function takenBytes(counters: Counters): number {
  return Number(Atomics.load(counters, slots.takenBytes));
}

/** The report as far as the worker came, of a run that handed over so many frames. */
export function reportFrom(counters: Counters, accepted: number, droppedBefore: number): DeliveryReport {
  const read = (name: keyof typeof slots): number => Number(Atomics.load(counters, slots[name]));
  const delivered = read('delivered');
  const dropped = read('dropped') + droppedBefore;
  return {
    accepted,
    delivered,
    dropped,
    undelivered: accepted - delivered - dropped,
    safe: read('safe'),
    recorded: read('recorded'),
    recovered: 0,
    diskFaults: read('diskFaults'),
  };
}

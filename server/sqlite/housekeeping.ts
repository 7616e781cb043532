/** What the store does by itself, piece by piece between commits: roll-ups, retention, removal of deleted runs, giving room back. */
import type Database from 'libsql';
import { messageOf } from '../../src/errors.ts';
import type { Retention, StoreObserver } from '../store.ts';
import { inTransaction } from './database.ts';
import { createExpiring } from './expiring.ts';
import { bucketFrames, createRolling, togetherBuckets } from './rolling.ts';

export interface Housekeeping {
  /** A batch was written: frames by run number. */
  stored(frames: ReadonlyMap<number, number>): void;
  /** A run was hidden. */
  deleted(run: number): void;
  close(): void;
}

const sweepMilliseconds = 5_000;
const retryMilliseconds = 5_000;
/** Runs of one piece beyond those whose buckets a batch filled: what waits is caught up with. */
const extraRuns = 1;
/** Frames of a run whose buckets are built together. */
const framesOfPiece = togetherBuckets * bucketFrames;

export interface HousekeepingParts {
  readonly retention: Retention;
  readonly observer: StoreObserver;
  readonly now: () => number;
}

export function createHousekeeping(
  database: Database.Database,
  { retention, observer, now }: HousekeepingParts,
): Housekeeping {
  const rolling = createRolling(database);
  const expiring = createExpiring(database, retention);
  let scheduled: NodeJS.Immediate | NodeJS.Timeout | undefined;
  let pieces = 0;
  let open = true;

  /** One piece of work; false when there is none. */
  function work(): boolean {
    let expired = 0;
    const done = inTransaction(database, () => {
      let built = 0;
      for (; built < pieces + extraRuns; built++) {
        const run = rolling.step(now());
        if (run === undefined) break;
        expiring.check(run);
      }
      pieces = 0;
      // As many pieces as were built, so that retention keeps up with trainers that never pause.
      for (let piece = 0; piece <= built * togetherBuckets; piece++) {
        const frames = expiring.step(now());
        if (frames === undefined) return built > 0 || piece > 0;
        expired += frames;
      }
      return true;
    });
    if (expired > 0) observer.expired(expired);
    return done || expiring.shrink();
  }

  function run(): void {
    scheduled = undefined;
    try {
      // All of this can be made again from the frames, so it need not wait for the disk: the next commit's sync takes it along.
      database.exec('PRAGMA synchronous = NORMAL');
      try {
        if (work()) schedule();
      } finally {
        database.exec('PRAGMA synchronous = FULL');
      }
    } catch (error) {
      observer.troubled(error instanceof Error ? error : new Error(messageOf(error)));
      rolling.recount();
      expiring.recount();
      scheduled = setTimeout(run, retryMilliseconds);
    }
  }

  function schedule(): void {
    if (open) scheduled ??= setImmediate(run);
  }

  const sweep = setInterval(() => {
    rolling.flush();
    expiring.check();
    schedule();
  }, sweepMilliseconds);
  sweep.unref();
  expiring.check();
  schedule();
  return {
    stored(frames) {
      for (const [run, count] of frames) {
        rolling.stored(run, count);
        pieces += count / framesOfPiece;
      }
      // Most transactions of trainers that send now and then give nothing to do, and should cost nothing here.
      if (rolling.due() || expiring.due()) schedule();
      else pieces = 0;
    },
    deleted(run) {
      expiring.remove(run);
      schedule();
    },
    close() {
      open = false;
      clearInterval(sweep);
      clearTimeout(scheduled as NodeJS.Timeout);
      clearImmediate(scheduled as NodeJS.Immediate);
    },
  };
}

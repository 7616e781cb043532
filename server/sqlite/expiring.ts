/** Deletes frames in small pieces: what is beyond a run's retention, bucket by bucket, and all of a run that was deleted. */
import type Database from 'libsql';
import type { Retention } from '../store.ts';

/** Rows that one piece of a deleted run's removal takes. */
const pieceRows = 256;
/** Free pages stay for the frames to come, up to this share of the file; 256 pages are 4 MiB. */
const freeShare = 0.1;
const freePages = 256;

export interface Expiring {
  /** Looks again at a run, or at every run. */
  check(run?: number): void;
  /** A run was hidden: all of it is to go. */
  remove(run: number): void;
  /** Whether there is something to look at or to delete. */
  due(): boolean;
  /** After a transaction that failed: what was taken for done is not. */
  recount(): void;
  /** Deletes one piece, in the transaction of the caller. The frames that retention deleted, or undefined when nothing was to do. */
  step(now: number): number | undefined;
  /** Gives free pages at the end of the file back, outside transactions; false when there are few. */
  shrink(): boolean;
}

export function createExpiring(database: Database.Database, retention: Retention): Expiring {
  const statements = {
    runs: database.prepare('SELECT number FROM runs WHERE deleted = 0'),
    oldest: database.prepare(
      `SELECT last_sequence, frames, stored_at, runs.number AS run FROM buckets JOIN runs ON runs.number = buckets.run
       WHERE buckets.run = ? AND level = 1 AND last_sequence > expired AND deleted = 0
       AND EXISTS (SELECT 1 FROM frames WHERE frames.run = buckets.run AND sequence > last_sequence)
       ORDER BY buckets.number LIMIT 1`,
    ),
    held: database.prepare(
      `SELECT sum(bytes) AS bytes FROM buckets
       WHERE run = ? AND level = 1 AND last_sequence > (SELECT expired FROM runs WHERE runs.number = buckets.run)`,
    ),
    deleteFrames: database.prepare('DELETE FROM frames WHERE run = ? AND sequence <= ?'),
    setExpired: database.prepare('UPDATE runs SET expired = ?, expired_frames = expired_frames + ? WHERE number = ?'),
    deletedRuns: database.prepare('SELECT number FROM runs WHERE deleted = 1'),
    someFrames: database.prepare(
      `DELETE FROM frames WHERE rowid IN (SELECT rowid FROM frames WHERE run = ? LIMIT ${pieceRows})`,
    ),
    someRollups: database.prepare(
      `DELETE FROM rollups WHERE run = ?1 AND (level, series, number) IN
       (SELECT level, series, number FROM rollups WHERE run = ?1 LIMIT ${pieceRows})`,
    ),
    deleteBuckets: database.prepare('DELETE FROM buckets WHERE run = ?'),
    deleteRun: database.prepare('DELETE FROM runs WHERE number = ?'),
    mode: database.prepare('PRAGMA auto_vacuum'),
    free: database.prepare('PRAGMA freelist_count'),
    pages: database.prepare('PRAGMA page_count'),
  };
  const shrinks = (statements.mode.all()[0] as { auto_vacuum: number }).auto_vacuum === 2;
  const limited = retention.age !== undefined || retention.bytes !== undefined;
  const toCheck = new Set<number>();
  /** Runs that were deleted and are not gone yet. Kept here: to look for them in the database would be to read every run. */
  const deleted = new Set<number>();

  function expireOldest(run: number, now: number): number | undefined {
    const oldest = statements.oldest.all(run)[0] as
      | { last_sequence: number; frames: number; stored_at: number }
      | undefined;
    if (oldest === undefined) return undefined;
    const tooOld = retention.age !== undefined && oldest.stored_at < now - retention.age;
    if (!tooOld && !isTooLarge(run)) return undefined;
    statements.deleteFrames.run(run, oldest.last_sequence);
    statements.setExpired.run(oldest.last_sequence, oldest.frames, run);
    return oldest.frames;
  }

  function isTooLarge(run: number): boolean {
    if (retention.bytes === undefined) return false;
    const { bytes } = statements.held.all(run)[0] as { bytes: number | null };
    return (bytes ?? 0) > retention.bytes;
  }

  function removeSome(run: number): void {
    if (statements.someFrames.run(run).changes > 0) return;
    if (statements.someRollups.run(run).changes > 0) return;
    statements.deleteBuckets.run(run);
    statements.deleteRun.run(run);
    deleted.delete(run);
  }

  function recount(): void {
    deleted.clear();
    for (const { number } of statements.deletedRuns.all() as { number: number }[]) deleted.add(number);
  }

  recount();
  return {
    remove(run) {
      deleted.add(run);
    },
    due: () => deleted.size > 0 || toCheck.size > 0,
    recount,
    check(run) {
      if (!limited) return;
      if (run !== undefined) toCheck.add(run);
      else for (const { number } of statements.runs.all() as { number: number }[]) toCheck.add(number);
    },
    step(now) {
      for (const run of deleted) {
        removeSome(run);
        return 0;
      }
      for (const run of toCheck) {
        const frames = expireOldest(run, now);
        if (frames !== undefined) return frames;
        toCheck.delete(run);
      }
      return undefined;
    },
    shrink() {
      if (!shrinks) return false;
      const { freelist_count: free } = statements.free.all()[0] as { freelist_count: number };
      const { page_count: pages } = statements.pages.all()[0] as { page_count: number };
      if (free <= Math.max(freePages, pages * freeShare)) return false;
      database.exec(`PRAGMA incremental_vacuum(${freePages})`);
      return true;
    },
  };
}

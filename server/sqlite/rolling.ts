/**
 * Builds the buckets of roll-ups from stored frames, oldest first. The frames are read back from the database, and what is done is
 * written with the buckets: after a crash, or for a run of an earlier version, the work goes on where it stood.
 */
import type Database from 'libsql';
import { type Frame, viewFrame } from '../../src/frame.ts';
import { decodeRollup, encodeRollup, mergeRollups, type Rollup, rollUp } from '../rollup.ts';

/** Frames of a bucket of level 1. */
export const bucketFrames = 64;
/** Buckets of one level that make one of the next. */
export const bucketFan = 16;
/** A bucket of the highest level holds 16,384 frames: few enough for any run. */
export const highestLevel = 3;
/**
 * Buckets of one run that are built together, while it goes on: rows of one series lie side by side, so the pages that they share are
 * written once. (A bucket at a time wrote two thirds as much as the frames themselves.)
 */
export const togetherBuckets = 4;
/** Very large frames make smaller buckets, so that one never takes more memory than this. */
const bucketBytes = 32 * 1024 * 1024;

export interface Rolling {
  /** Frames of a run were stored: so many. */
  stored(run: number, frames: number): void;
  /** Builds some buckets of one run, in the transaction of the caller; that run, or undefined when there is nothing to do. */
  step(now: number): number | undefined;
  /** Also single buckets are built from what waits now. */
  flush(): void;
  /** After a transaction that failed: what was counted as done is not. */
  recount(): void;
  /** Whether there is something to build. */
  due(): boolean;
}

export function createRolling(database: Database.Database): Rolling {
  const statements = {
    waiting: database.prepare(
      `SELECT number AS run, (SELECT count(*) FROM frames WHERE run = number AND sequence > rolled_up) AS frames
       FROM runs WHERE deleted = 0`,
    ),
    run: database.prepare(
      'SELECT description, rolled_up FROM runs JOIN descriptions ON run = number WHERE number = ? AND deleted = 0',
    ),
    next: database.prepare(
      'SELECT sequence, bytes FROM frames WHERE run = ? AND sequence > ? ORDER BY sequence LIMIT ?',
    ),
    lastNumber: database.prepare('SELECT max(number) AS number FROM buckets WHERE run = ? AND level = ?'),
    putBucket: database.prepare('INSERT INTO buckets VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)'),
    putRollup: database.prepare('INSERT INTO rollups VALUES (?, ?, ?, ?, ?)'),
    setRolledUp: database.prepare('UPDATE runs SET rolled_up = ? WHERE number = ?'),
    children: database.prepare(
      `SELECT sum(frames) AS frames, sum(bytes) AS bytes, max(last_sequence) AS last_sequence,
       min(lowest_step) AS lowest_step, max(highest_step) AS highest_step, count(*) AS count
       FROM buckets WHERE run = ? AND level = ? AND number BETWEEN ? AND ?`,
    ),
    childRollups: database.prepare(
      'SELECT series, bytes FROM rollups WHERE run = ? AND level = ? AND series = ? AND number BETWEEN ? AND ? ORDER BY number',
    ),
    seriesCount: database.prepare(
      'SELECT max(series) AS series FROM rollups WHERE run = ? AND level = ? AND number = ?',
    ),
  };
  /** Frames of a run that are in no bucket yet. */
  const waiting = new Map<number, number>();
  /** Runs with enough of them for a bucket. */
  const ready = new Set<number>();

  function count(run: number, frames: number): void {
    waiting.set(run, frames);
    if (frames >= togetherBuckets * bucketFrames) ready.add(run);
    else ready.delete(run);
  }

  function flush(): void {
    for (const [run, frames] of waiting) if (frames >= bucketFrames) ready.add(run);
  }

  function recount(): void {
    waiting.clear();
    ready.clear();
    for (const row of statements.waiting.all() as { run: number; frames: number }[]) count(row.run, row.frames);
    flush();
  }

  interface Stretch {
    readonly frames: Frame[];
    readonly bytes: number;
  }

  /** The next frames of a run, as many as make a bucket; undefined when there are too few. */
  function nextStretch(run: number, above: number): Stretch | undefined {
    const frames: Frame[] = [];
    let bytes = 0;
    let after = above;
    while (frames.length < bucketFrames && bytes < bucketBytes) {
      const limit = Math.min(8, bucketFrames - frames.length);
      const rows = statements.next.all(run, after, limit) as { sequence: number; bytes: ArrayBuffer }[];
      for (const row of rows) {
        if (bytes >= bucketBytes) break;
        frames.push(viewFrame(new Uint8Array(row.bytes)).frame);
        bytes += row.bytes.byteLength;
        after = row.sequence;
      }
      if (rows.length < limit) break;
    }
    return frames.length === bucketFrames || bytes >= bucketBytes ? { frames, bytes } : undefined;
  }

  function build(run: number, metrics: number, { frames, bytes }: Stretch, now: number): void {
    const number = nextNumber(run, 1);
    const steps = frames.map((frame) => frame.step);
    const last = (frames.at(-1) as Frame).sequence;
    statements.putBucket.run(run, 1, number, frames.length, bytes, last, Math.min(...steps), Math.max(...steps), now);
    put(run, 1, number, rollUp(frames, metrics));
    statements.setRolledUp.run(last, run);
    for (let level = 2, below = number; level <= highestLevel && below % bucketFan === bucketFan - 1; level++) {
      below = Math.floor(below / bucketFan);
      merge(run, level, below, metrics, now);
    }
  }

  function merge(run: number, level: number, number: number, metrics: number, now: number): void {
    const from = number * bucketFan;
    const to = from + bucketFan - 1;
    const sum = statements.children.all(run, level - 1, from, to)[0] as Record<string, number>;
    const { frames, bytes, last_sequence, lowest_step, highest_step } = sum;
    statements.putBucket.run(run, level, number, frames, bytes, last_sequence, lowest_step, highest_step, now);
    // The last of them has the most scalars, as lists only grow.
    const { series: most } = statements.seriesCount.all(run, level - 1, to)[0] as { series: number };
    const merged: Rollup[] = [];
    for (let series = 0; series <= most; series++) {
      const parts = statements.childRollups.all(run, level - 1, series, from, to) as { bytes: ArrayBuffer }[];
      merged.push(
        mergeRollups(
          parts.map((part) => decodeRollup(part.bytes)),
          series,
          metrics,
        ),
      );
    }
    put(run, level, number, merged);
  }

  function put(run: number, level: number, number: number, rollups: readonly Rollup[]): void {
    for (const [series, rollup] of rollups.entries())
      statements.putRollup.run(run, level, series, number, encodeRollup(rollup));
  }

  function nextNumber(run: number, level: number): number {
    const row = statements.lastNumber.all(run, level)[0] as { number: number | null };
    return (row.number ?? -1) + 1;
  }

  /** Builds what there is, up to so many; false when that is nothing. */
  function buildTogether(run: number, now: number): boolean {
    const row = statements.run.all(run)[0] as { description: string; rolled_up: number } | undefined;
    if (row === undefined) {
      waiting.delete(run); // deleted meanwhile
      return false;
    }
    const { metrics } = JSON.parse(row.description) as { metrics: readonly string[] };
    let built = 0;
    for (let above = row.rolled_up; built < togetherBuckets; built++) {
      const stretch = nextStretch(run, above);
      if (stretch === undefined) break;
      build(run, metrics.length, stretch, now);
      above = (stretch.frames.at(-1) as Frame).sequence;
      count(run, Math.max(0, (waiting.get(run) ?? 0) - stretch.frames.length));
    }
    return built > 0;
  }

  recount();
  return {
    stored(run, frames) {
      count(run, (waiting.get(run) ?? 0) + frames);
    },
    step(now) {
      for (const run of ready) {
        // To the end of the line: runs take turns.
        ready.delete(run);
        if (buildTogether(run, now)) return run;
      }
      return undefined;
    },
    flush,
    recount,
    due: () => ready.size > 0,
  };
}

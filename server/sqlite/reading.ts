/** The reading side of the database. Synchronous and in small pieces; in a thread of its own. */
import type Database from 'libsql';
import type { Place, StepRange } from '../store.ts';
import { guarded } from './database.ts';

/** Frames of a page at most, and about how many bytes: some milliseconds' worth. */
const pageFrames = 256;
const pageBytes = 4 * 1024 * 1024;

export interface FramePage {
  /** Encoded. */
  readonly frames: readonly ArrayBuffer[];
  /** Undefined behind the last page. */
  readonly next: PageRequest | undefined;
}

export interface PageRequest {
  readonly after: Place;
  readonly limit: number;
}

export interface Bucket {
  readonly number: number;
  readonly frames: number;
  readonly last_sequence: number;
  readonly lowest_step: number;
  readonly highest_step: number;
}

export interface RunMarks {
  /** Frames up to that sequence number are in buckets. */
  readonly rolled_up: number;
  /** Frames up to that sequence number are deleted. */
  readonly expired: number;
  readonly expired_frames: number;
}

export interface Reading {
  numberOf(runId: string): number | undefined;
  runs(): { id: string; description: string; progress: string }[];
  latestFrame(run: number): ArrayBuffer | undefined;
  frameAt(run: number, step: number): ArrayBuffer | undefined;
  /** Of frames above a sequence number. */
  countFrames(run: number, range: StepRange, above: number): number;
  page(run: number, range: StepRange, above: number, request: PageRequest): FramePage;
  /** Frames of a stretch of sequence numbers, in their order. */
  stretch(run: number, above: number, to: number): ArrayBuffer[];
  marks(run: number): RunMarks;
  /** Buckets of a level, from one number to another, inclusive, as far as their frames go up to a sequence number. */
  buckets(run: number, level: number, numbers: { from: number; to: number }, lastSequence: number): Bucket[];
  /** Roll-ups of one series, of the buckets of a level from one number to another, inclusive. */
  rollups(run: number, level: number, series: number, from: number, to: number): ArrayBuffer[];
  alerts(limit: number): string[];
  alertsOfRun(run: number, limit: number): string[];
}

export function createReading(database: Database.Database): Reading {
  const statements = {
    numberOf: database.prepare('SELECT number FROM runs WHERE id = ?'),
    runs: database.prepare(
      'SELECT id, description, progress FROM runs JOIN descriptions ON run = number WHERE deleted = 0 ORDER BY number',
    ),
    latestFrame: database.prepare('SELECT bytes FROM frames WHERE run = ? ORDER BY sequence DESC LIMIT 1'),
    frameAt: database.prepare(
      'SELECT bytes FROM frames WHERE run = ? AND step <= ? ORDER BY step DESC, sequence DESC LIMIT 1',
    ),
    countFrames: database.prepare(
      `SELECT count(*) AS frames FROM frames
       WHERE run = ? AND step BETWEEN ? AND ? AND sequence <= ? AND sequence > ?`,
    ),
    page: database.prepare(
      `SELECT step, sequence, bytes FROM frames
       WHERE run = ? AND (step, sequence) > (?, ?) AND step <= ? AND sequence <= ? AND sequence > ?
       ORDER BY step, sequence LIMIT ?`,
    ),
    stretch: database.prepare(
      'SELECT bytes FROM frames WHERE run = ? AND sequence > ? AND sequence <= ? ORDER BY sequence',
    ),
    marks: database.prepare('SELECT rolled_up, expired, expired_frames FROM runs WHERE number = ?'),
    buckets: database.prepare(
      `SELECT number, frames, last_sequence, lowest_step, highest_step FROM buckets
       WHERE run = ? AND level = ? AND number BETWEEN ? AND ? AND last_sequence <= ? ORDER BY number`,
    ),
    rollups: database.prepare(
      `SELECT bytes FROM rollups WHERE run = ? AND level = ? AND series = ? AND number BETWEEN ? AND ?
       ORDER BY number`,
    ),
    alerts: database.prepare('SELECT alert FROM alerts ORDER BY number DESC LIMIT ?'),
    alertsOfRun: database.prepare('SELECT alert FROM alerts WHERE run = ? ORDER BY number DESC LIMIT ?'),
  };
  /** libsql gives blobs as ArrayBuffer. */
  const bytesOf = (row: unknown): ArrayBuffer => (row as { bytes: ArrayBuffer }).bytes;
  // `all` and not `get`: a statement that is not read to its end holds the log, which then grows.
  const first = (statement: Database.Statement, ...values: number[]): unknown => statement.all(...values)[0];

  return {
    numberOf: (runId) =>
      guarded('reading a run', () => (statements.numberOf.all(runId)[0] as { number: number } | undefined)?.number),
    runs: () => guarded('reading the runs', () => statements.runs.all() as ReturnType<Reading['runs']>),
    latestFrame(run) {
      const row = guarded('reading a frame', () => first(statements.latestFrame, run));
      return row === undefined ? undefined : bytesOf(row);
    },
    frameAt(run, step) {
      const row = guarded('reading a frame', () => first(statements.frameAt, run, step));
      return row === undefined ? undefined : bytesOf(row);
    },
    countFrames(run, { from, to, lastSequence }, above) {
      const row = guarded('counting frames', () => first(statements.countFrames, run, from, to, lastSequence, above));
      return (row as { frames: number }).frames;
    },
    page(run, { to, lastSequence }, above, { after, limit }) {
      const rows = guarded('reading frames', () =>
        statements.page.all(run, after.step, after.sequence, to, lastSequence, above, limit),
      ) as (Place & { bytes: ArrayBuffer })[];
      const frames = rows.map(bytesOf);
      const last = rows.at(-1);
      if (last === undefined || rows.length < limit) return { frames, next: undefined };
      const mean = frames.reduce((bytes, frame) => bytes + frame.byteLength, 0) / frames.length;
      const fitting = Math.max(1, Math.min(pageFrames, Math.floor(pageBytes / mean)));
      return { frames, next: { after: { step: last.step, sequence: last.sequence }, limit: fitting } };
    },
    stretch: (run, above, to) => guarded('reading frames', () => statements.stretch.all(run, above, to).map(bytesOf)),
    marks: (run) => guarded('reading a run', () => first(statements.marks, run) as RunMarks),
    buckets: (run, level, { from, to }, lastSequence) =>
      guarded('reading roll-ups', () => statements.buckets.all(run, level, from, to, lastSequence) as Bucket[]),
    rollups: (run, level, series, from, to) =>
      guarded('reading roll-ups', () => statements.rollups.all(run, level, series, from, to).map(bytesOf)),
    alerts: (limit) => guarded('reading alerts', () => texts(statements.alerts.all(limit))),
    alertsOfRun: (run, limit) => guarded('reading alerts', () => texts(statements.alertsOfRun.all(run, limit))),
  };
}

/** The first page of a range: small, as nobody knows yet how large the frames are. */
export function firstPage({ from }: StepRange): PageRequest {
  return { after: { step: from, sequence: -1 }, limit: 16 };
}

function texts(rows: readonly unknown[]): string[] {
  return rows.map((row) => (row as { alert: string }).alert);
}

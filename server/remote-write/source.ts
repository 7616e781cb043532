/** What remote write reads of the store, over a connection of its own: its long reads make neither the writer nor other readers wait. */
import type Database from 'libsql';
import { type DecodedFrame, decodeFrame, frameBytes } from '../../src/frame.ts';
import type { RunDescription, RunProgress } from '../run-record.ts';
import { guarded } from '../sqlite/database.ts';
import type { Cursor } from './cursor.ts';
import { beginningOf } from './cursor.ts';
import { SeriesSet } from './series-set.ts';

/** Where a run stands on the side of the store. */
export interface RunNews extends Pick<RunProgress, 'lastSequence' | 'frames' | 'state' | 'stateSince' | 'lastFrameAt'> {
  readonly id: string;
}

export interface StoredRun {
  readonly news: RunNews;
  readonly cursor: Cursor;
}

export interface FramesBehind {
  readonly frames: readonly DecodedFrame[];
  /** The last sequence number that was read; of an unreadable frame too. */
  readonly lastSequence: number;
  /** Frames that retention had deleted before they were read. */
  readonly expired: number;
  /** Frames that cannot be decoded. */
  readonly unreadable: number;
}

export interface Source {
  /** Runs with something to send: frames, or their end. */
  pending(): StoredRun[];
  run(id: string): StoredRun | undefined;
  description(id: string): RunDescription | undefined;
  /** Frames behind the cursor and up to a sequence number, at least one if there is any, by ascending sequence. */
  behind(cursor: Cursor, limit: number, lastSequence?: number): FramesBehind;
}

interface Row {
  readonly id: string;
  readonly progress: string;
  readonly sequence: number | null;
  readonly frames: number;
  readonly time: number;
  readonly ended: number;
  readonly planned: number;
  readonly ceiling: number;
  readonly series: ArrayBuffer;
}

export function createSource(database: Database.Database, endpoint: string): Source {
  const columns = `id, progress, forwarded.sequence, forwarded.frames, time, ended, planned, ceiling, series FROM runs
    LEFT JOIN forwarded ON forwarded.run = runs.number AND endpoint = ? WHERE deleted = 0`;
  const statements = {
    runs: database.prepare(`SELECT ${columns}`),
    run: database.prepare(`SELECT ${columns} AND id = ?`),
    description: database.prepare(
      'SELECT description FROM runs JOIN descriptions ON run = number WHERE id = ? AND deleted = 0',
    ),
    marks: database.prepare('SELECT number, expired, expired_frames FROM runs WHERE id = ? AND deleted = 0'),
    frames: database.prepare(
      'SELECT sequence, bytes FROM frames WHERE run = ? AND sequence > ? AND sequence <= ? ORDER BY sequence LIMIT ?',
    ),
  };

  function readBehind({ runId, sequence, frames }: Cursor, limit: number, upTo: number): FramesBehind {
    const marks = statements.marks.all(runId)[0] as
      | { number: number; expired: number; expired_frames: number }
      | undefined;
    if (marks === undefined) return { frames: [], lastSequence: sequence, expired: 0, unreadable: 0 };
    // All that the receiver has lies below what has expired then, so the difference is what it never got.
    const lost = marks.expired > sequence ? marks.expired_frames - frames : 0;
    const after = Math.max(sequence, marks.expired);
    const rows = statements.frames.all(marks.number, after, upTo, limit) as { sequence: number; bytes: ArrayBuffer }[];
    const decoded = rows.flatMap(({ bytes }) => {
      try {
        return [decodeFrame(new Uint8Array(bytes))];
      } catch {
        return [];
      }
    });
    return {
      frames: decoded,
      lastSequence: rows.at(-1)?.sequence ?? after,
      expired: lost,
      unreadable: rows.length - decoded.length,
    };
  }

  return {
    pending: () =>
      guarded('reading the runs', () => (statements.runs.all(endpoint) as Row[]).map(storedRun)).filter(
        ({ news, cursor }) => news.lastSequence > cursor.sequence || (news.lastSequence >= 0 && !cursor.ended),
      ),
    run(id) {
      const row = guarded('reading a run', () => statements.run.all(endpoint, id)[0]) as Row | undefined;
      return row === undefined ? undefined : storedRun(row);
    },
    description(id) {
      const row = guarded('reading a run', () => statements.description.all(id)[0]) as
        | { description: string }
        | undefined;
      return row === undefined ? undefined : (JSON.parse(row.description) as RunDescription);
    },
    behind: (cursor, limit, lastSequence = Number.MAX_SAFE_INTEGER) =>
      guarded('reading frames', () => {
        // One state of the database for both: retention may delete in between.
        database.exec('BEGIN');
        try {
          return readBehind(cursor, limit, lastSequence);
        } finally {
          database.exec('COMMIT');
        }
      }),
  };
}

/** How many frames of a run make up so many samples, within so many bytes. */
export function framesFor(
  { sites, metrics, scalars }: { readonly sites: number; readonly metrics: number; readonly scalars: number },
  samples: number,
  bytes: number,
): number {
  const most = frameBytes({ sites, metrics, scalars, topNeurons: mostTopNeurons });
  const fitting = Math.min(Math.ceil(samples / (sites * metrics + scalars + 2)), Math.floor(bytes / most), mostFrames);
  return Math.max(1, fitting);
}

/** As many as the protocol allows: the description does not say how many a run has. */
const mostTopNeurons = 64;
const mostFrames = 256;

function storedRun({ id, progress, sequence, frames, time, ended, planned, ceiling, series }: Row): StoredRun {
  const { lastSequence, frames: stored, state, stateSince, lastFrameAt } = JSON.parse(progress) as RunProgress;
  const news = { id, lastSequence, frames: stored, state, stateSince, lastFrameAt };
  if (sequence === null) return { news, cursor: beginningOf(id, new SeriesSet().bytes) };
  const set = new Uint8Array(series);
  return { news, cursor: { runId: id, sequence, frames, time, ended: ended === 1, planned, ceiling, series: set } };
}

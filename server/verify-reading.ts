/** What the check of a database reads (verify.ts): the file, the runs, and every frame once. */
import type Database from 'libsql';
import { messageOf } from '../src/errors.ts';
import { decodeFrame } from '../src/frame.ts';
import { checkShape } from './protocol.ts';
import { describedRuns, first, hasRetention } from './read-only-store.ts';
import type { RunDescription, RunProgress } from './run-record.ts';
import { createSequenceSet, type SequenceSet } from './sequence-set.ts';

/** Ranges and problems that are listed of a run: a damaged database has as many as it has frames. */
export const mostListed = 100;
/** Of a page: frames at most, and bytes unless one frame alone has more. */
const pageFrames = 256;
const pageBytes = 4 * 1024 * 1024;

export type VerifyProgress = (what: 'file' | 'frames', done: number, total: number) => void;

/** A run under way. */
export interface RunCheck {
  readonly id: string;
  readonly description: RunDescription;
  readonly progress: RunProgress;
  readonly sequences: SequenceSet;
  readonly problems: string[];
  /** What retention had deleted when all frames had been looked at. */
  expired: { readonly frames: number; readonly upTo: number };
}

/** Puts the runs down; gives the rowid of the last frame. */
export function readStart(database: Database.Database, checks: Map<number, RunCheck>): number {
  const { place } = first(database.prepare('SELECT max(rowid) AS place FROM frames')) as { place: number | null };
  const rows = database
    .prepare(
      `SELECT number, CAST(id AS BLOB) AS id, CAST(description AS BLOB) AS description, CAST(progress AS BLOB) AS progress
       FROM ${describedRuns(database)} ORDER BY number`,
    )
    .all() as ({ number: number } & Record<'id' | 'description' | 'progress', ArrayBuffer>)[];
  for (const row of rows) {
    checks.set(row.number, {
      id: textOf(row.id),
      description: JSON.parse(textOf(row.description)) as RunDescription,
      progress: JSON.parse(textOf(row.progress)) as RunProgress,
      sequences: createSequenceSet(),
      problems: [],
      expired: { frames: 0, upTo: -1 },
    });
  }
  return place ?? 0;
}

export function keepOnly(checks: Map<number, RunCheck>, runId: string): void {
  for (const [number, { id }] of checks) if (id !== runId) checks.delete(number);
}

/** What was deleted by now, before or since the start, is not there by right. */
export function forgetDeleted(database: Database.Database, checks: Map<number, RunCheck>): void {
  if (!hasRetention(database)) return;
  const rows = database.prepare('SELECT number, expired, expired_frames FROM runs WHERE deleted = 0').all() as {
    number: number;
    expired: number;
    expired_frames: number;
  }[];
  const marks = new Map(rows.map((row) => [row.number, row]));
  for (const [number, check] of checks) {
    const mark = marks.get(number);
    if (mark === undefined) {
      checks.delete(number);
      continue;
    }
    check.sequences.dropUpTo(mark.expired);
    check.expired = { frames: mark.expired_frames, upTo: mark.expired };
  }
}

/** @throws TypeError for what is no UTF-8, over which libsql would end the process if it were asked for text. */
function textOf(bytes: ArrayBuffer): string {
  return new TextDecoder('utf-8', { fatal: true }).decode(bytes);
}

/** For one run the indexes are not compared with their tables, which is what takes long. */
export function fileProblems(database: Database.Database, runId: string | undefined): string[] {
  const check = runId === undefined ? 'integrity_check' : 'quick_check';
  const found = (database.prepare(`PRAGMA ${check}`).all() as Record<string, string>[])
    .map((row) => String(row[check]))
    .filter((text) => text !== 'ok')
    .map((text) => `SQLite: ${text}`);
  return found.slice(0, mostListed);
}

interface FrameRow {
  readonly run: number;
  readonly sequence: number;
  readonly step: number;
  readonly bytes: ArrayBuffer;
}

/** Looks at every row of the table itself, not by way of its indexes, which may be what is damaged. Gives problems of no run's. */
export async function* readFrames(
  database: Database.Database,
  checks: ReadonlyMap<number, RunCheck>,
  lastPlace: number,
  progress: VerifyProgress | undefined,
  runId: string | undefined,
): AsyncIterable<string> {
  const ofOne = runId === undefined ? '' : `AND run = ${[...checks.keys()][0]}`;
  const where = `FROM frames NOT INDEXED WHERE rowid > ? AND rowid <= ? ${ofOne} ORDER BY rowid`;
  const sizes = database.prepare(`SELECT rowid AS place, length(bytes) AS size ${where} LIMIT ${pageFrames}`);
  const page = database.prepare(`SELECT run, sequence, step, bytes ${where}`);
  const total = [...checks.values()].reduce((sum, { progress: { frames } }) => sum + frames, 0);
  let last = Number.MIN_SAFE_INTEGER;
  let done = 0;
  for (;;) {
    const end = endOfPage(sizes.all(last, lastPlace) as { place: number; size: number }[]);
    if (end === undefined) return;
    const rows = page.all(last, end) as FrameRow[];
    for (const row of rows) {
      const check = checks.get(row.run);
      if (check !== undefined) checkFrame(check, row);
      else yield `a frame of run number ${row.run}, which is not there`;
    }
    last = end;
    done += rows.length;
    progress?.('frames', done, total);
    await new Promise((resolve) => setImmediate(resolve));
  }
}

/** The last row that goes into a page. */
function endOfPage(rows: readonly { readonly place: number; readonly size: number }[]): number | undefined {
  let bytes = 0;
  let end = rows[0]?.place;
  for (const { place, size } of rows.slice(1)) {
    bytes += size;
    if (bytes > pageBytes) break;
    end = place;
  }
  return end;
}

function checkFrame({ description, sequences, problems }: RunCheck, row: FrameRow): void {
  const say = (problem: string): void => {
    if (problems.length < mostListed) problems.push(problem);
  };
  if (sequences.add(row.sequence) === 'already there') say(`frame ${row.sequence} is there twice`);
  try {
    const { frame, shape } = decodeFrame(new Uint8Array(row.bytes));
    // How many neurons a run may list was its hello's to say, and is not kept.
    checkShape(shape, { ...description, topNeurons: shape.topNeurons });
    for (const name of ['sequence', 'step'] as const) {
      if (frame[name] !== row[name])
        say(`frame ${row.sequence} is stored under ${name} ${row[name]}, but says ${frame[name]} itself`);
    }
  } catch (error) {
    say(`frame ${row.sequence}: ${messageOf(error)}`);
  }
}

/**
 * Checks a database: that SQLite finds it whole, that every frame can be read and fits its run, that none is there twice, and
 * that the runs' own counts agree with the frames that are there. Reads only, and may run beside a server: runs and the place of the
 * last frame are read in one transaction, and frames after that place are left out.
 */
import { messageOf, OutlierscopeError } from '../src/errors.ts';
import { openReadOnly, versionOf } from './read-only-store.ts';
import type { RunState } from './run-record.ts';
import type { Range } from './sequence-set.ts';
import {
  fileProblems,
  forgetDeleted,
  keepOnly,
  mostListed,
  type RunCheck,
  readFrames,
  readStart,
  type VerifyProgress,
} from './verify-reading.ts';

export interface Verification {
  readonly schemaVersion: number;
  /** True when nothing below is a problem. Gaps are none: trainers may drop frames. */
  readonly sound: boolean;
  /** Of the database as a whole, in words. */
  readonly problems: readonly string[];
  readonly runs: readonly RunVerification[];
}

export interface RunVerification {
  readonly id: string;
  readonly name: string;
  readonly state: RunState;
  /** Frames there are. */
  readonly frames: number;
  /** Highest sequence number; -1 for none. */
  readonly lastSequence: number;
  /** Frames that there were until retention deleted them: the oldest. */
  readonly expired: number;
  /** Sequence numbers above those and below the highest that are not there, as ranges, ends included; at most 100. */
  readonly gaps: readonly Range[];
  /** How many they are. */
  readonly missing: number;
  /** How many frames its trainer said it dropped. */
  readonly dropped: number;
  readonly problems: readonly string[];
}

export interface VerifyOptions {
  /** Looks at one run alone; the check of the whole file is left out then. */
  readonly runId?: string | undefined;
  /** Told what is done, and how many frames have been looked at. */
  readonly progress?: VerifyProgress;
}

/** @throws OutlierscopeError as `openReadOnlyStore`, for what is no database or has no such run (`no-run`). */
export async function verifyDatabase(path: string, { runId, progress }: VerifyOptions = {}): Promise<Verification> {
  const database = openReadOnly(path);
  try {
    const problems: string[] = [];
    const checks = new Map<number, RunCheck>();
    try {
      progress?.('file', 0, 1);
      problems.push(...fileProblems(database, runId));
      // What SQLite finds damaged is not read: pages may lead in a circle, and libsql ends the process over text that is none.
      if (problems.length === 0) {
        const lastPlace = database.transaction(() => readStart(database, checks))();
        if (runId !== undefined) keepOnly(checks, runId);
        if (runId !== undefined && checks.size === 0)
          throw new OutlierscopeError(`no run has the id ${JSON.stringify(runId)}`, { code: 'no-run' });
        for await (const problem of readFrames(database, checks, lastPlace, progress, runId))
          if (problems.length < mostListed) problems.push(problem);
        forgetDeleted(database, checks);
      }
    } catch (error) {
      if (error instanceof OutlierscopeError) throw error;
      problems.push(`reading failed: ${messageOf(error)}`);
    }
    const runs = [...checks.values()].map(conclude);
    const sound = problems.length === 0 && runs.every((run) => run.problems.length === 0);
    return { schemaVersion: versionOf(database), sound, problems, runs };
  } finally {
    database.close();
  }
}

function conclude({ id, description, progress, sequences, problems, expired }: RunCheck): RunVerification {
  const frames = sequences.size();
  const { lastSequence, dropped, state } = progress;
  const { gaps, missing } = sequences.missing(expired.upTo + 1, lastSequence, mostListed);
  const all = [...problems];
  // Of a run that went on meanwhile, retention may have deleted what came after the start too.
  if (expired.upTo < lastSequence) {
    const counted = progress.frames - expired.frames;
    if (frames !== counted) all.push(`the run counts ${counted} frames, there are ${frames}`);
    if (sequences.highest() !== lastSequence)
      all.push(`the run's last frame is ${lastSequence}, the last one there is ${sequences.highest()}`);
  }
  const { name } = description;
  const parts = { gaps, missing, dropped, problems: all };
  return { id, name, state, frames, lastSequence, expired: expired.frames, ...parts };
}

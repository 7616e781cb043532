/**
 * A server's database opened for reading alone, by another process, while the server runs or not: for `export` and `verify`.
 * Only servers take the lock on ownership, and a write-ahead log lets readers and the writer pass each other.
 */
import { existsSync } from 'node:fs';
import Database from 'libsql';
import { messageOf, OutlierscopeError } from '../src/errors.ts';
import { type DecodedFrame, decodeFrame } from '../src/frame.ts';
import type { Alert } from '../src/messages.ts';
import type { RunRecord } from './run-record.ts';
import { schemaVersion } from './schema.ts';
import type { Store } from './store.ts';

/** The part of a store that reads whole runs. */
export type ReadOnlyStore = Pick<Store, 'runs' | 'countFrames' | 'frames' | 'alerts' | 'close'>;

/** Of a page: frames at most, and about how many bytes. Short queries, so that none holds back the server's clean-up of its log. */
const pageFrames = 256;
const pageBytes = 4 * 1024 * 1024;
/** Of the first page, as nobody knows yet how large the frames are. */
const firstFrames = 16;

/** @throws OutlierscopeError `no-database`, `not-a-database`, `schema-too-new`; reads may reject with `store-failed`. */
export function openReadOnlyStore(path: string): ReadOnlyStore {
  const database = openReadOnly(path);
  const statements = {
    runs: database.prepare(
      `SELECT id, description, progress FROM ${describedRuns(database)} ${hasRetention(database) ? 'WHERE deleted = 0' : ''} ORDER BY number`,
    ),
    numberOf: database.prepare('SELECT number FROM runs WHERE id = ?'),
    countFrames: database.prepare(
      'SELECT count(*) AS frames FROM frames WHERE run = ? AND step BETWEEN ? AND ? AND sequence <= ?',
    ),
    frames: database.prepare(
      `SELECT step, sequence, bytes FROM frames WHERE run = ? AND (step, sequence) > (?, ?) AND step <= ? AND sequence <= ?
       ORDER BY step, sequence LIMIT ?`,
    ),
    alerts: database.prepare('SELECT alert FROM alerts ORDER BY number DESC LIMIT ?'),
    alertsOfRun: database.prepare('SELECT alert FROM alerts WHERE run = ? ORDER BY number DESC LIMIT ?'),
  };
  const numberOf = (runId: string): number =>
    (first(statements.numberOf, runId) as { number: number } | undefined)?.number ?? -1;

  return {
    async runs() {
      const rows = reading(path, () => statements.runs.all()) as Record<'id' | 'description' | 'progress', string>[];
      return rows.map(({ id, description, progress }) => ({
        id,
        description: JSON.parse(description) as RunRecord['description'],
        progress: JSON.parse(progress) as RunRecord['progress'],
      }));
    },
    async countFrames(runId, { from, to, lastSequence }) {
      const row = reading(path, () => first(statements.countFrames, numberOf(runId), from, to, lastSequence));
      return (row as { frames: number }).frames;
    },
    async *frames(runId, { from, to, lastSequence }) {
      const number = reading(path, () => numberOf(runId));
      let after = { step: from, sequence: -1 };
      for (let limit = firstFrames; ; ) {
        const { step, sequence } = after;
        const rows = reading(path, () =>
          statements.frames.all(number, step, sequence, to, lastSequence, limit),
        ) as Row[];
        const last = rows.at(-1);
        if (last === undefined) return;
        yield rows.map((row) => decodeRow(runId, row));
        if (rows.length < limit) return;
        after = last;
        const mean = rows.reduce((bytes, row) => bytes + row.bytes.byteLength, 0) / rows.length;
        limit = Math.max(1, Math.min(pageFrames, Math.floor(pageBytes / mean)));
      }
    },
    async alerts({ runId, limit }) {
      const rows = reading(path, () =>
        runId === undefined ? statements.alerts.all(limit) : statements.alertsOfRun.all(numberOf(runId), limit),
      );
      return (rows as { alert: string }[]).map((row) => JSON.parse(row.alert) as Alert);
    },
    async close() {
      database.close();
    },
  };
}

interface Row {
  readonly step: number;
  readonly sequence: number;
  /** libsql gives blobs as ArrayBuffer. */
  readonly bytes: ArrayBuffer;
}

function decodeRow(runId: string, { sequence, bytes }: Row): DecodedFrame {
  try {
    return decodeFrame(new Uint8Array(bytes));
  } catch (cause) {
    throw new OutlierscopeError(`frame ${sequence} of run ${runId} cannot be read: ${messageOf(cause)}`, {
      code: 'store-failed',
      hint: 'outlierscope verify tells what else is damaged',
      cause,
    });
  }
}

/** A connection that cannot write, to a database that this version can read. @throws OutlierscopeError as `openReadOnlyStore`. */
export function openReadOnly(path: string): Database.Database {
  // Of a file that is not there SQLite says only that it cannot open it.
  if (!existsSync(path)) {
    throw new OutlierscopeError(`there is no database ${path}`, {
      code: 'no-database',
      hint: 'name the file that the server was given, with --database or OUTLIERSCOPE_DATABASE',
    });
  }
  let database: Database.Database | undefined;
  try {
    database = new Database(path, { readonly: true, timeout: 5000 });
    checkVersion(path, versionOf(database));
    return database;
  } catch (cause) {
    database?.close();
    if (cause instanceof OutlierscopeError) throw cause;
    throw new OutlierscopeError(`the database ${path} cannot be read: ${messageOf(cause)}`, {
      code: 'not-a-database',
      hint: 'name a file that outlierscope serve wrote, in a folder where you may write: SQLite keeps its locks beside it',
      cause,
    });
  }
}

export function versionOf(database: Database.Database): number {
  return (first(database.prepare('PRAGMA user_version')) as { user_version: number }).user_version;
}

/** From schema 2 on runs may be deleted, a little at a time, and their oldest frames may have expired. */
export function hasRetention(database: Database.Database): boolean {
  return versionOf(database) >= 2;
}

/** The table that has a run's description beside the rest of it. From schema 3 on descriptions lie apart. */
export function describedRuns(database: Database.Database): string {
  return versionOf(database) >= 3 ? 'runs LEFT JOIN descriptions ON run = number' : 'runs';
}

/** The first row. `all` and not `get`: a statement that is not read to its end holds the log, which then grows. */
export function first(statement: Database.Statement, ...values: (number | string)[]): unknown {
  return statement.all(...values)[0];
}

function checkVersion(path: string, version: number): void {
  if (version > schemaVersion) {
    throw new OutlierscopeError(
      `the database ${path} has schema version ${version}, this outlierscope knows ${schemaVersion}`,
      { code: 'schema-too-new', hint: 'upgrade outlierscope' },
    );
  }
  if (version < 1) {
    throw new OutlierscopeError(`${path} is no database of outlierscope: it has no schema version`, {
      code: 'not-a-database',
      hint: 'name the file that the server was given, with --database or OUTLIERSCOPE_DATABASE',
    });
  }
}

function reading<Result>(path: string, action: () => Result): Result {
  try {
    return action();
  } catch (cause) {
    throw new OutlierscopeError(`reading the database ${path} failed: ${messageOf(cause)}`, {
      code: 'store-failed',
      hint: 'outlierscope verify tells whether it is damaged',
      cause,
    });
  }
}

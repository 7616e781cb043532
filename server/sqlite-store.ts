/** The store in SQLite, through libsql: one file, write-ahead log, every commit synced to the disk. */
import Database from 'libsql';
import { messageOf, OutlierscopeError } from '../src/errors.ts';
import { type DecodedFrame, decodeFrame } from '../src/frame.ts';
import type { Alert } from '../src/messages.ts';
import type { RunRecord } from './run-record.ts';
import { migrate } from './schema.ts';
import type { Batch, StepRange, Store } from './store.ts';

/** Frames read before others get their turn: some milliseconds' worth. */
const pageFrames = 256;

/**
 * Opens or creates a database; `:memory:` keeps nothing beyond `close`.
 * @throws OutlierscopeError `store-failed` when the file cannot be opened, `store-in-use` when another server owns it,
 * `schema-too-new` when a newer version wrote it.
 */
export function openSqliteStore(path: string): Store {
  const releaseOwnership = path === ':memory:' ? () => {} : own(path);
  try {
    const database = guarded(`opening the database ${path}`, () => open(path));
    migrate(database, path);
    return createStore(database, releaseOwnership);
  } catch (error) {
    releaseOwnership();
    throw error;
  }
}

function open(path: string): Database.Database {
  const database = new Database(path, { timeout: 5000 });
  // The page size takes effect before the first table only; all else belongs to the connection.
  database.exec(
    'PRAGMA page_size = 16384; PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL; PRAGMA foreign_keys = ON',
  );
  return database;
}

/**
 * Two servers on one database would evaluate and deliver every alert twice. A lock that SQLite holds on a file of its own beside
 * the database tells them apart, dies with the process, and leaves the database open to readers.
 */
function own(path: string): () => void {
  const file = `${path}-owner`;
  const lock = guarded(`opening ${file}`, () => new Database(file, { timeout: 0 }));
  try {
    lock.exec('PRAGMA journal_mode = MEMORY; PRAGMA locking_mode = EXCLUSIVE; BEGIN EXCLUSIVE');
  } catch (cause) {
    lock.close();
    throw new OutlierscopeError(`the database ${path} is in use by another outlierscope server`, {
      code: 'store-in-use',
      hint: 'stop that server, or give this one another database file',
      cause,
    });
  }
  return () => lock.close();
}

function createStore(database: Database.Database, releaseOwnership: () => void): Store {
  const statements = {
    putRun: database.prepare(
      `INSERT INTO runs (id, description, progress) VALUES (?, ?, ?)
       ON CONFLICT (id) DO UPDATE SET description = excluded.description, progress = excluded.progress`,
    ),
    putProgress: database.prepare('UPDATE runs SET progress = ? WHERE number = ?'),
    numberOf: database.prepare('SELECT number FROM runs WHERE id = ?'),
    putFrame: database.prepare('INSERT INTO frames (run, sequence, step, bytes) VALUES (?, ?, ?, ?)'),
    putAlert: database.prepare(
      'INSERT INTO alerts (id, run, alert) VALUES (?, ?, ?) ON CONFLICT (id) DO UPDATE SET alert = excluded.alert',
    ),
    probe: database.prepare('UPDATE probe SET writes = writes + 1'),
    runs: database.prepare('SELECT id, description, progress FROM runs ORDER BY number'),
    latestFrame: database.prepare('SELECT bytes FROM frames WHERE run = ? ORDER BY sequence DESC LIMIT 1'),
    frameAt: database.prepare(
      'SELECT bytes FROM frames WHERE run = ? AND step <= ? ORDER BY step DESC, sequence DESC LIMIT 1',
    ),
    countFrames: database.prepare(
      'SELECT count(*) AS frames FROM frames WHERE run = ? AND step BETWEEN ? AND ? AND sequence <= ?',
    ),
    frames: database.prepare(
      `SELECT step, sequence, bytes FROM frames WHERE run = ? AND (step, sequence) > (?, ?) AND step <= ? AND sequence <= ?
       ORDER BY step, sequence LIMIT ${pageFrames}`,
    ),
    alerts: database.prepare('SELECT alert FROM alerts ORDER BY number DESC LIMIT ?'),
    alertsOfRun: database.prepare('SELECT alert FROM alerts WHERE run = ? ORDER BY number DESC LIMIT ?'),
  };
  /** Numbers and last written descriptions, so that a frame's transaction rewrites a run's progress only. */
  const known = new Map<string, { readonly number: number; readonly description: RunRecord['description'] }>();

  function numberOf(runId: string): number | undefined {
    return known.get(runId)?.number ?? (statements.numberOf.get(runId) as { number: number } | undefined)?.number;
  }

  function putRun({ id, description, progress }: RunRecord): number {
    const before = known.get(id);
    if (before?.description === description) {
      statements.putProgress.run(JSON.stringify(progress), before.number);
      return before.number;
    }
    statements.putRun.run(id, JSON.stringify(description), JSON.stringify(progress));
    return (statements.numberOf.get(id) as { number: number }).number;
  }

  const write = database.transaction((batch: Batch): Map<string, number> => {
    const numbers = new Map(batch.runs.map((run) => [run.id, putRun(run)]));
    const runNumber = (runId: string): number => {
      const number = numbers.get(runId) ?? numberOf(runId);
      if (number === undefined) throw new Error(`run ${runId} is not in the store`);
      return number;
    };
    for (const frame of batch.frames)
      statements.putFrame.run(runNumber(frame.runId), frame.sequence, frame.step, frame.bytes);
    for (const alert of batch.alerts) statements.putAlert.run(alert.id, runNumber(alert.runId), JSON.stringify(alert));
    return numbers;
  });

  return {
    async commit(batch) {
      const numbers = guarded('writing a batch', () => write.immediate(batch));
      // After the commit only: a rolled-back run has no number.
      for (const run of batch.runs) {
        const number = numbers.get(run.id);
        if (number !== undefined) known.set(run.id, { number, description: run.description });
      }
    },
    async probe() {
      guarded('a trial write', () => statements.probe.run());
    },
    async runs() {
      const rows = guarded('reading the runs', () => statements.runs.all()) as {
        id: string;
        description: string;
        progress: string;
      }[];
      return rows.map((row) => ({
        id: row.id,
        description: JSON.parse(row.description),
        progress: JSON.parse(row.progress),
      }));
    },
    async latestFrame(runId) {
      return guarded('reading a frame', () => toFrame(statements.latestFrame.get(numberOf(runId) ?? -1)));
    },
    async frameAt(runId, step) {
      return guarded('reading a frame', () => toFrame(statements.frameAt.get(numberOf(runId) ?? -1, step)));
    },
    async countFrames(runId, { from, to, lastSequence }) {
      const row = guarded('counting frames', () =>
        statements.countFrames.get(numberOf(runId) ?? -1, from, to, lastSequence),
      );
      return (row as { frames: number }).frames;
    },
    async *frames(runId, range) {
      const number = numberOf(runId);
      if (number === undefined) return;
      yield* pages(statements.frames, number, range);
    },
    async alerts({ runId, limit }) {
      const rows = guarded('reading alerts', () =>
        runId === undefined ? statements.alerts.all(limit) : statements.alertsOfRun.all(numberOf(runId) ?? -1, limit),
      );
      return (rows as { alert: string }[]).map((row) => JSON.parse(row.alert) as Alert);
    },
    async close() {
      database.close();
      releaseOwnership();
    },
  };
}

async function* pages(
  statement: Database.Statement,
  run: number,
  { from, to, lastSequence }: StepRange,
): AsyncIterable<DecodedFrame[]> {
  let after = { step: from, sequence: -1 };
  for (;;) {
    const { step, sequence } = after;
    const rows = guarded('reading frames', () => statement.all(run, step, sequence, to, lastSequence)) as {
      step: number;
      sequence: number;
    }[];
    const last = rows.at(-1);
    if (last === undefined) return;
    after = last;
    yield rows.map((row) => toFrame(row) as DecodedFrame);
    if (rows.length < pageFrames) return;
    await new Promise((resolve) => setImmediate(resolve));
  }
}

/** libsql gives blobs as ArrayBuffer. */
function toFrame(row: unknown): DecodedFrame | undefined {
  return row === undefined ? undefined : decodeFrame(new Uint8Array((row as { bytes: ArrayBuffer }).bytes));
}

function guarded<Result>(doing: string, action: () => Result): Result {
  try {
    return action();
  } catch (cause) {
    if (cause instanceof OutlierscopeError) throw cause;
    throw new OutlierscopeError(`the store failed while ${doing}: ${messageOf(cause)}`, {
      code: 'store-failed',
      hint: 'check that the disk has room and that the database file and its folder are writable',
      cause,
    });
  }
}

/** A connection to the SQLite database, through libsql, and what its errors become. */
import Database from 'libsql';
import { messageOf, OutlierscopeError } from '../../src/errors.ts';

/** A transaction's pages and the indexes of active runs: with SQLite's 2 MB it read its own pages back from the log. */
const cacheKib = 32 * 1024;

/** The connection that writes: write-ahead log, every commit synced to the disk. */
export function openForWriting(path: string): Database.Database {
  const database = new Database(path, { timeout: 5000 });
  // Page size and vacuuming take effect before the first table only; all else belongs to the connection.
  database.exec(
    `PRAGMA page_size = 16384; PRAGMA auto_vacuum = INCREMENTAL; PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL;
     PRAGMA foreign_keys = ON; PRAGMA cache_size = -${cacheKib}`,
  );
  return database;
}

/** A connection that reads beside the one that writes. */
export function openForReading(path: string): Database.Database {
  const database = new Database(path, { timeout: 5000 });
  database.exec('PRAGMA query_only = ON'); // libsql does not heed `readonly`
  return database;
}

/** Runs an action in a transaction: all of it, or nothing. */
export function inTransaction<Result>(database: Database.Database, action: () => Result): Result {
  database.exec('BEGIN IMMEDIATE');
  try {
    const result = action();
    database.exec('COMMIT');
    return result;
  } catch (error) {
    if (database.inTransaction) database.exec('ROLLBACK');
    throw error;
  }
}

/** @throws OutlierscopeError `store-failed` for whatever the action throws. */
export function guarded<Result>(doing: string, action: () => Result): Result {
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

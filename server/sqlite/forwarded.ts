/** The cursors of remote write, on the writing side of the database. */
import type Database from 'libsql';
import type { Cursor } from '../remote-write/cursor.ts';
import { guarded, inTransaction } from './database.ts';

export interface Forwarded {
  put(endpoint: string, cursors: readonly Cursor[]): void;
}

export function createForwarded(database: Database.Database): Forwarded {
  // A run that was deleted meanwhile has no cursor.
  const put = database.prepare(
    `INSERT OR REPLACE INTO forwarded (run, endpoint, sequence, frames, time, ended, planned, ceiling, series)
     SELECT number, ?, ?, ?, ?, ?, ?, ?, ? FROM runs WHERE id = ? AND deleted = 0`,
  );
  return {
    put(endpoint, cursors) {
      guarded('writing how far remote write has got', () => {
        // It is safe from the end of the process all the same. After a power cut a little is sent again, which harms nobody; a sync of
        // its own would slow down the trainers' commits.
        database.exec('PRAGMA synchronous = NORMAL');
        try {
          inTransaction(database, () => {
            for (const { runId, sequence, frames, time, ended, planned, ceiling, series } of cursors)
              put.run(endpoint, sequence, frames, time, ended ? 1 : 0, planned, ceiling, series, runId);
          });
        } finally {
          database.exec('PRAGMA synchronous = FULL');
        }
      });
    },
  };
}

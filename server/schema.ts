/**
 * The database's tables, as a list of migrations: `PRAGMA user_version` counts those already applied.
 * Append to the list; never change an entry that was released.
 */
import type Database from 'libsql';
import { OutlierscopeError } from '../src/errors.ts';

const migrations: readonly string[] = [
  // 1. Frames have a rowid and large pages: twice the write rate of a table keyed by (run, sequence), whose rows of some KB split pages.
  `CREATE TABLE runs (
     number INTEGER PRIMARY KEY,
     id TEXT NOT NULL UNIQUE,
     description TEXT NOT NULL, -- JSON: RunDescription
     progress TEXT NOT NULL     -- JSON: RunProgress, the state of the rules within
   ) STRICT;
   CREATE TABLE frames (
     run INTEGER NOT NULL REFERENCES runs (number),
     sequence INTEGER NOT NULL,
     step INTEGER NOT NULL,
     bytes BLOB NOT NULL        -- as encoded by the trainer, docs/protocol.md
   ) STRICT;
   CREATE UNIQUE INDEX frames_by_sequence ON frames (run, sequence);
   CREATE INDEX frames_by_step ON frames (run, step, sequence);
   CREATE TABLE alerts (
     number INTEGER PRIMARY KEY,
     id TEXT NOT NULL UNIQUE,
     run INTEGER NOT NULL REFERENCES runs (number),
     alert TEXT NOT NULL        -- JSON: Alert in its last state
   ) STRICT;
   CREATE INDEX alerts_by_run ON alerts (run, number);
   CREATE TABLE probe (key INTEGER PRIMARY KEY CHECK (key = 0), writes INTEGER NOT NULL) STRICT;
   INSERT INTO probe VALUES (0, 0);`,

  // 2. Roll-ups, retention, deletion. Roll-ups are clustered by series, so that one metric's are read without the others'.
  `ALTER TABLE runs ADD COLUMN rolled_up INTEGER NOT NULL DEFAULT -1; -- frames up to that sequence number are in buckets
   ALTER TABLE runs ADD COLUMN expired INTEGER NOT NULL DEFAULT -1; -- retention deleted the frames up to that sequence number
   ALTER TABLE runs ADD COLUMN expired_frames INTEGER NOT NULL DEFAULT 0;
   ALTER TABLE runs ADD COLUMN deleted INTEGER NOT NULL DEFAULT 0; -- 1 while its frames are being deleted piece by piece
   ALTER TABLE probe ADD COLUMN room BLOB; -- filled for a moment, to see whether there is any
   CREATE TABLE buckets (         -- stretches of a run's frames, in the order of their sequence numbers
     run INTEGER NOT NULL REFERENCES runs (number),
     level INTEGER NOT NULL,      -- 1: of frames, 2: of 16 buckets of level 1, and so on
     number INTEGER NOT NULL,     -- from 0 on
     frames INTEGER NOT NULL,
     bytes INTEGER NOT NULL,      -- of those frames
     last_sequence INTEGER NOT NULL,
     lowest_step INTEGER NOT NULL,
     highest_step INTEGER NOT NULL,
     stored_at INTEGER NOT NULL,  -- when the bucket was complete, milliseconds since 1970 by the server's clock
     PRIMARY KEY (run, level, number)
   ) STRICT, WITHOUT ROWID;
   CREATE TABLE rollups (
     run INTEGER NOT NULL REFERENCES runs (number),
     level INTEGER NOT NULL,
     series INTEGER NOT NULL,     -- column of the metric; after the metrics, the scalars
     number INTEGER NOT NULL,     -- of the bucket
     bytes BLOB NOT NULL,         -- server/rollup.ts
     PRIMARY KEY (run, level, series, number)
   ) STRICT, WITHOUT ROWID;`,

  // 3. Descriptions apart: every transaction rewrites its runs' progress, some hundred bytes beside up to a megabyte of site names.
  `CREATE TABLE descriptions (
     run INTEGER PRIMARY KEY REFERENCES runs (number) ON DELETE CASCADE,
     description TEXT NOT NULL    -- JSON: RunDescription
   ) STRICT;
   INSERT INTO descriptions SELECT number, description FROM runs;
   ALTER TABLE runs DROP COLUMN description;`,
  // 4. How far remote write has got with each run, for each receiver: server/remote-write/cursor.ts.
  `CREATE TABLE forwarded (
     run INTEGER NOT NULL REFERENCES runs (number) ON DELETE CASCADE,
     endpoint TEXT NOT NULL,      -- address of the receiver, without its query
     sequence INTEGER NOT NULL,   -- frames up to that sequence number are with the receiver, or lost to it
     frames INTEGER NOT NULL,     -- so many
     time INTEGER NOT NULL,       -- of the last sample, milliseconds since 1970
     ended INTEGER NOT NULL,      -- 1: stale markers went out after it
     planned INTEGER NOT NULL,    -- frames up to that sequence number may have gone out with times held to the ceiling
     ceiling INTEGER NOT NULL,    -- latest time of those, milliseconds since 1970
     series BLOB NOT NULL,        -- which series were ever sent, a bit each: series-set.ts
     PRIMARY KEY (run, endpoint)
   ) STRICT, WITHOUT ROWID;`,
];

export const schemaVersion: number = migrations.length;

/**
 * Brings a database to this version's schema, one transaction a step.
 * @throws OutlierscopeError (`schema-too-new`) for a database that a newer version of outlierscope wrote.
 */
export function migrate(database: Database.Database, path: string): void {
  const row = database.prepare('PRAGMA user_version').get() as { user_version: number };
  const version = row.user_version;
  if (version > schemaVersion) {
    throw new OutlierscopeError(
      `the database ${path} has schema version ${version}, this outlierscope knows ${schemaVersion}`,
      {
        code: 'schema-too-new',
        hint: 'upgrade outlierscope, or give another database file',
      },
    );
  }
  for (const [index, statements] of migrations.entries()) {
    if (index >= version) database.exec(`BEGIN IMMEDIATE; ${statements} PRAGMA user_version = ${index + 1}; COMMIT`);
  }
}

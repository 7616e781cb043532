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

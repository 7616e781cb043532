/** What the API's pages read of the database, beside series (reading.ts). Synchronous and in small pieces; in the thread that reads. */
import type Database from 'libsql';
import type { AlertQuery } from '../store.ts';
import { guarded } from './database.ts';

export interface Browsing {
  /** The first frame at or above a sequence number. */
  frameFrom(run: number, sequence: number): ArrayBuffer | undefined;
  /** Frames of a stretch of sequence numbers, in their order; at most `limit`. */
  framesBySequence(run: number, above: number, to: number, limit: number): ArrayBuffer[];
  /** Alerts with their numbers, those that began last first. */
  alertPage(run: number | undefined, query: AlertQuery): NumberedAlert[];
}

export interface NumberedAlert {
  readonly number: number;
  /** JSON. */
  readonly alert: string;
}

export function createBrowsing(database: Database.Database): Browsing {
  const framesBySequence = database.prepare(
    'SELECT bytes FROM frames WHERE run = ? AND sequence > ? AND sequence <= ? ORDER BY sequence LIMIT ?',
  );
  const conditions =
    "number < ?2 AND (?3 IS NULL OR json_extract(alert, '$.state') = ?3) ORDER BY number DESC LIMIT ?4";
  const alerts = database.prepare(`SELECT number, alert FROM alerts WHERE ?1 IS NULL AND ${conditions}`);
  const alertsOfRun = database.prepare(`SELECT number, alert FROM alerts WHERE run = ?1 AND ${conditions}`);

  const read = (run: number, above: number, to: number, limit: number): ArrayBuffer[] =>
    guarded('reading frames', () =>
      framesBySequence.all(run, above, to, limit).map((row) => (row as { bytes: ArrayBuffer }).bytes),
    );
  return {
    frameFrom: (run, sequence) => read(run, sequence - 1, Number.MAX_SAFE_INTEGER, 1)[0],
    framesBySequence: read,
    alertPage: (run, { state, before = Number.MAX_SAFE_INTEGER, limit }) =>
      guarded(
        'reading alerts',
        () =>
          (run === undefined ? alerts : alertsOfRun).all(run ?? null, before, state ?? null, limit) as NumberedAlert[],
      ),
  };
}

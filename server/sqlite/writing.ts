/** The writing side of the database: batches, a trial write, the first step of a run's deletion. Synchronous; in a thread of its own. */
import type Database from 'libsql';
import { guarded, inTransaction } from './database.ts';
import type { PackedBatch } from './packed-batch.ts';

export interface Writing {
  /** Writes a batch or nothing; returns the numbers of the runs that got frames, with how many. */
  commit(batch: PackedBatch): ReadonlyMap<number, number>;
  probe(bytes: number): void;
  /** Hides a run from readers and lets go of its id; its frames are for the housekeeper. Its number, if it is there. */
  hideRun(runId: string): number | undefined;
}

export function createWriting(database: Database.Database): Writing {
  const statements = {
    putRun: database.prepare(
      'INSERT INTO runs (id, progress) VALUES (?, ?) ON CONFLICT (id) DO UPDATE SET progress = excluded.progress',
    ),
    putDescription: database.prepare(
      `INSERT INTO descriptions SELECT number, ?2 FROM runs WHERE id = ?1
       ON CONFLICT (run) DO UPDATE SET description = excluded.description`,
    ),
    putProgress: database.prepare('UPDATE runs SET progress = ? WHERE id = ?'),
    numberOf: database.prepare('SELECT number FROM runs WHERE id = ?'),
    putFrame: database.prepare('INSERT INTO frames (run, sequence, step, bytes) VALUES (?, ?, ?, ?)'),
    putAlert: database.prepare(
      'INSERT INTO alerts (id, run, alert) VALUES (?, ?, ?) ON CONFLICT (id) DO UPDATE SET alert = excluded.alert',
    ),
    probe: database.prepare('UPDATE probe SET writes = writes + 1, room = zeroblob(?)'),
    deleteAlerts: database.prepare('DELETE FROM alerts WHERE run = ?'),
    // No run id has a colon.
    hide: database.prepare("UPDATE runs SET deleted = 1, id = 'deleted:' || number WHERE number = ?"),
  };
  /** Of committed runs only: a rolled-back run has no number. */
  const numbers = new Map<string, number>();

  // `all` and not `get`: a statement that is not read to its end holds the log, which then grows.
  function find(runId: string): number | undefined {
    return (statements.numberOf.all(runId)[0] as { number: number } | undefined)?.number;
  }

  function numberOf(runId: string): number {
    const number = numbers.get(runId) ?? find(runId);
    if (number === undefined) throw new Error(`run ${runId} is not in the store`);
    return number;
  }

  function write({ runs, frames, alerts }: PackedBatch): Map<string, number> {
    for (const { id, description, progress } of runs) {
      if (description !== undefined) {
        statements.putRun.run(id, progress);
        statements.putDescription.run(id, description);
      } else if (statements.putProgress.run(progress, id).changes === 0)
        throw new Error(`run ${id} is not in the store`);
    }
    const found = new Map<string, number>();
    const known = (runId: string): number => {
      const number = found.get(runId) ?? numberOf(runId);
      found.set(runId, number);
      return number;
    };
    let start = 0;
    for (const [index, runId] of frames.runIds.entries()) {
      const end = frames.ends[index] as number;
      const bytes = frames.bytes.subarray(start, end);
      statements.putFrame.run(known(runId), frames.sequences[index], frames.steps[index], bytes);
      start = end;
    }
    for (const { id, runId, alert } of alerts) statements.putAlert.run(id, known(runId), alert);
    return found;
  }

  return {
    commit(batch) {
      const found = guarded('writing a batch', () => inTransaction(database, () => write(batch)));
      for (const [runId, number] of found) numbers.set(runId, number);
      const counts = new Map<number, number>();
      for (const runId of batch.frames.runIds) {
        const number = found.get(runId) as number;
        counts.set(number, (counts.get(number) ?? 0) + 1);
      }
      return counts;
    },
    probe(bytes) {
      guarded('a trial write', () => {
        statements.probe.run(bytes);
        statements.probe.run(0);
      });
    },
    hideRun(runId) {
      return guarded('deleting a run', () => {
        const number = find(runId);
        if (number === undefined) return undefined;
        inTransaction(database, () => {
          statements.deleteAlerts.run(number);
          statements.hide.run(number);
        });
        numbers.delete(runId);
        return number;
      });
    },
  };
}

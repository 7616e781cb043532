/** The two sides of the database as sets of methods: each in a thread of its own, or both in line for `:memory:`. */
import type Database from 'libsql';
import type { Cursor } from '../remote-write/cursor.ts';
import { readSeries } from '../series.ts';
import type { Retention, SeriesRequest, StepRange, StoreObserver } from '../store.ts';
import { guarded } from './database.ts';
import { createForwarded } from './forwarded.ts';
import { createHousekeeping } from './housekeeping.ts';
import type { PackedBatch } from './packed-batch.ts';
import { createReading, type FramePage, type PageRequest } from './reading.ts';
import { createWriting } from './writing.ts';

export type WriterSide = ReturnType<typeof createWriterSide>;
export type ReaderSide = ReturnType<typeof createReaderSide>;

export function createWriterSide(database: Database.Database, retention: Retention, observer: StoreObserver) {
  const writing = createWriting(database);
  const forwarded = createForwarded(database);
  const housekeeping = createHousekeeping(database, { retention, observer, now: Date.now });
  return {
    commit(batch: PackedBatch): void {
      housekeeping.stored(writing.commit(batch));
    },
    forwarded: (endpoint: string, cursors: readonly Cursor[]): void => forwarded.put(endpoint, cursors),
    probe: (bytes: number): void => writing.probe(bytes),
    deleteRun(runId: string): void {
      if (writing.hideRun(runId)) housekeeping.deleted();
    },
    close(): void {
      housekeeping.close();
      // A file without its log is easier to copy. Closing alone leaves it while statements are not collected.
      guarded('closing', () => database.exec('PRAGMA wal_checkpoint(TRUNCATE)'));
      database.close();
    },
  };
}

export function createReaderSide(database: Database.Database) {
  const reading = createReading(database);
  return {
    runs: () => reading.runs(),
    latestFrame: (runId: string) => reading.latestFrame(reading.numberOf(runId) ?? -1),
    frameAt: (runId: string, step: number) => reading.frameAt(reading.numberOf(runId) ?? -1, step),
    countFrames: (runId: string, range: StepRange) => reading.countFrames(reading.numberOf(runId) ?? -1, range, -1),
    page(runId: string, range: StepRange, request: PageRequest): FramePage {
      const run = reading.numberOf(runId);
      return run === undefined ? { frames: [], next: undefined } : reading.page(run, range, -1, request);
    },
    expiredFrames(runId: string): number {
      const run = reading.numberOf(runId);
      return run === undefined ? 0 : reading.marks(run).expired_frames;
    },
    async series(request: SeriesRequest): Promise<Uint8Array> {
      const series = await readSeries(reading, reading.numberOf(request.runId) ?? -1, request);
      return new TextEncoder().encode(JSON.stringify(series));
    },
    alerts: (runId: string | undefined, limit: number) =>
      runId === undefined ? reading.alerts(limit) : reading.alertsOfRun(reading.numberOf(runId) ?? -1, limit),
    close: (): void => void database.close(),
  };
}

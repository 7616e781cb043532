/** The two sides of the database as sets of methods: each in a thread of its own, or both in line for `:memory:`. */
import type Database from 'libsql';
import { decodeFrame } from '../../src/frame.ts';
import { readBands } from '../band-reading.ts';
import { readFramePage } from '../frame-page.ts';
import type { Cursor } from '../remote-write/cursor.ts';
import { readSeries } from '../series.ts';
import type {
  AlertQuery,
  BandsRequest,
  FramePageRequest,
  Retention,
  SeriesRequest,
  StepRange,
  StoreObserver,
} from '../store.ts';
import { type SequenceRange, sequencesBetween, type TimeRange } from '../time-axis.ts';
import { createBrowsing, type NumberedAlert } from './browsing.ts';
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
      const run = writing.hideRun(runId);
      if (run !== undefined) housekeeping.deleted(run);
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
  const browsing = createBrowsing(database);

  /** The range as far as it lies within `times`. What retention deleted is told by the times of its roll-ups alone. */
  function withTimes(run: number, range: StepRange, times: TimeRange | undefined): StepRange {
    if (times === undefined) return range;
    const { expired } = reading.marks(run);
    const bounds: SequenceRange = { aboveSequence: expired, lastSequence: range.lastSequence };
    const found = sequencesBetween(
      (sequence) => {
        const bytes = browsing.frameFrom(run, sequence);
        return bytes === undefined ? undefined : decodeFrame(new Uint8Array(bytes)).frame;
      },
      times,
      bounds,
    );
    return { ...range, ...found, aboveSequence: found.aboveSequence === expired ? -1 : found.aboveSequence };
  }

  const located = (request: SeriesRequest): SeriesRequest => {
    const run = reading.numberOf(request.runId);
    return run === undefined ? request : { ...request, range: withTimes(run, request.range, request.times) };
  };
  const asJson = (value: object): Uint8Array => new TextEncoder().encode(JSON.stringify(value));

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
      return asJson(await readSeries(reading, reading.numberOf(request.runId) ?? -1, located(request)));
    },
    async bands({ members, points }: BandsRequest): Promise<Uint8Array> {
      return asJson(await readBands(reading, { members: members.map(located), points }));
    },
    framePage(request: FramePageRequest): Uint8Array {
      const run = reading.numberOf(request.runId);
      if (run === undefined) return asJson({ frames: [], next: null });
      const range = withTimes(run, request.range, request.times);
      return asJson(readFramePage({ reading, browsing, run }, { ...request, range }));
    },
    alertPage({ runId, ...query }: AlertQuery): NumberedAlert[] {
      return browsing.alertPage(runId === undefined ? undefined : (reading.numberOf(runId) ?? -1), query);
    },
    alerts: (runId: string | undefined, limit: number) =>
      runId === undefined ? reading.alerts(limit) : reading.alertsOfRun(reading.numberOf(runId) ?? -1, limit),
    close: (): void => void database.close(),
  };
}

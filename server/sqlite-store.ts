/**
 * The store in SQLite: one file, two threads. One writes and does the housekeeping, the other reads; the server's own thread
 * meanwhile takes frames. `:memory:` has both sides in line, on the one connection that sees it.
 */
import Database from 'libsql';
import { OutlierscopeError } from '../src/errors.ts';
import { type DecodedFrame, viewFrame } from '../src/frame.ts';
import type { Alert } from '../src/messages.ts';
import type { RunDescription, RunRecord } from './run-record.ts';
import { migrate } from './schema.ts';
import type { NumberedAlert } from './sqlite/browsing.ts';
import { guarded, openForWriting } from './sqlite/database.ts';
import { packBatch } from './sqlite/packed-batch.ts';
import { type FramePage, firstPage, type PageRequest } from './sqlite/reading.ts';

import { type SideThread, startSide } from './sqlite/side-thread.ts';
import { createReaderSide, createWriterSide } from './sqlite/sides.ts';
import type { Retention, SeriesRequest, StepRange, Store, StoreObserver } from './store.ts';

export interface StoreSettings {
  readonly retention?: Retention;
  readonly observer?: StoreObserver;
}

const everything: Retention = { age: undefined, bytes: undefined };
const nobody: StoreObserver = { expired: () => {}, troubled: () => {} };

/**
 * Opens or creates a database; `:memory:` keeps nothing beyond `close`.
 * @throws OutlierscopeError `store-failed` when the file cannot be opened, `store-in-use` when another server owns it,
 * `schema-too-new` when a newer version wrote it.
 */
export function openSqliteStore(path: string, settings: StoreSettings = {}): Store {
  const { retention = everything, observer = nobody } = settings;
  const releaseOwnership = path === ':memory:' ? () => {} : own(path);
  try {
    const database = guarded(`opening the database ${path}`, () => openForWriting(path));
    migrate(database, path);
    if (path === ':memory:') return createStore(...inLine(database, retention, observer), releaseOwnership);
    database.close();
    const data = { path, retention };
    const writer = startSide({ ...data, side: 'writer' }, observer);
    const reader = startSide({ ...data, side: 'reader' }, observer);
    return createStore(writer, reader, releaseOwnership);
  } catch (error) {
    releaseOwnership();
    throw error;
  }
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

function inLine(database: Database.Database, retention: Retention, observer: StoreObserver): [SideThread, SideThread] {
  const side = (methods: object): SideThread => ({
    call: async (method, args) =>
      (methods as Record<string, (...values: unknown[]) => never>)[method]?.(...args) as never,
    close: async () => (methods as { close(): void }).close(),
  });
  const writer = createWriterSide(database, retention, observer);
  return [side(writer), side({ ...createReaderSide(database), close: () => {} })];
}

function createStore(writer: SideThread, reader: SideThread, releaseOwnership: () => void): Store {
  /** The descriptions last written, so that a frame's transaction rewrites a run's progress only. */
  const written = new Map<string, RunDescription>();
  let closing: Promise<void> | undefined;

  async function* pages(runId: string, range: StepRange): AsyncIterable<DecodedFrame[]> {
    for (let request: PageRequest | undefined = firstPage(range); request !== undefined; ) {
      const page: FramePage = await reader.call('page', [runId, range, request]);
      if (page.frames.length > 0) yield page.frames.map(decode);
      request = page.next;
    }
  }

  async function close(): Promise<void> {
    await reader.close(); // first: the last one to close brings the log into the database
    await writer.close();
    releaseOwnership();
  }

  return {
    async commit(batch) {
      const packed = packBatch(batch, written);
      await writer.call('commit', [packed], [packed.frames.bytes.buffer]);
      for (const { id, description } of batch.runs) written.set(id, description);
    },
    forwarded: (endpoint, cursors) => writer.call('forwarded', [endpoint, cursors]),
    probe: (bytes) => writer.call('probe', [bytes]),
    async deleteRun(runId) {
      await writer.call('deleteRun', [runId]);
      written.delete(runId);
    },
    async runs() {
      const rows = await reader.call<Record<keyof RunRecord, string>[]>('runs', []);
      return rows.map(({ id, description, progress }) => ({
        id,
        description: JSON.parse(description),
        progress: JSON.parse(progress),
      }));
    },
    async latestFrame(runId) {
      const bytes = await reader.call<ArrayBuffer | undefined>('latestFrame', [runId]);
      return bytes === undefined ? undefined : decode(bytes);
    },
    async frameAt(runId, step) {
      const bytes = await reader.call<ArrayBuffer | undefined>('frameAt', [runId, step]);
      return bytes === undefined ? undefined : decode(bytes);
    },
    countFrames: (runId, range) => reader.call('countFrames', [runId, range]),
    frames: pages,
    expiredFrames: (runId) => reader.call('expiredFrames', [runId]),
    series: (request: SeriesRequest) => reader.call('series', [request]),
    bands: (request) => reader.call('bands', [request]),
    framePage: (request) => reader.call('framePage', [request]),
    async alertPage({ limit, ...query }) {
      // One more tells whether there is a next page.
      const rows = await reader.call<NumberedAlert[]>('alertPage', [{ ...query, limit: limit + 1 }]);
      const shown = rows.slice(0, limit);
      return {
        alerts: shown.map(({ alert }) => JSON.parse(alert) as Alert),
        next: rows.length > limit ? shown.at(-1)?.number : undefined,
      };
    },
    async alerts({ runId, limit }) {
      const rows = await reader.call<string[]>('alerts', [runId, limit]);
      return rows.map((alert) => JSON.parse(alert) as Alert);
    },
    close: () => (closing ??= close()),
  };
}

function decode(bytes: ArrayBuffer): DecodedFrame {
  return viewFrame(new Uint8Array(bytes));
}

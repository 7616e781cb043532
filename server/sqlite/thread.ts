/** The thread of one side of the database: syncs of the disk, long reads and parsing never wait for each other. */
import { parentPort, workerData } from 'node:worker_threads';
import type { Retention, StoreObserver } from '../store.ts';
import { answerCalls } from './calls.ts';
import { openForReading, openForWriting } from './database.ts';
import { createReaderSide, createWriterSide } from './sides.ts';

export interface ThreadData {
  readonly side: 'writer' | 'reader';
  readonly path: string;
  readonly retention: Retention;
}

/** What the writing side tells without being asked. */
export type ThreadNotice = { readonly expired: number } | { readonly troubled: string };

const port = parentPort;
if (port === null) throw new Error('server/sqlite/thread is the entry of a worker thread');
const { side, path, retention } = workerData as ThreadData;

const tell = (notice: ThreadNotice): void => port.postMessage(notice);
const observer: StoreObserver = {
  expired: (frames) => tell({ expired: frames }),
  troubled: (error) => tell({ troubled: error.message }),
};
answerCalls(
  port,
  side === 'writer'
    ? createWriterSide(openForWriting(path), retention, observer)
    : createReaderSide(openForReading(path)),
);

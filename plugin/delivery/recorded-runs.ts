/** Reads files of records: what runs are in them, and where their frames lie. For Node. */
import { closeSync, openSync, readSync } from 'node:fs';
import { decodeFrame } from '../../src/frame.ts';
import type { Bye, Hello } from '../../src/messages.ts';
import { parseRecord, type RawRecord, RecordReader, recordKinds } from '../../src/recording.ts';
import type { Place, Shelf } from './backlog.ts';
import { RecordFile } from './record-file.ts';
import type { RestoredRun } from './sender-parts.ts';

export interface RecordedRuns {
  /** In the order of their beginnings; frames in ascending order, each once. */
  readonly runs: readonly RestoredRun[];
  /** Bytes that belong to no whole record: a crash cut them off, or the disk spoiled them. */
  readonly skippedBytes: number;
  /** Whole records that say nothing sensible, or belong to no run. */
  readonly skippedRecords: number;
  close(): void;
}

interface Gathered {
  hello: Hello;
  /** Undefined until something is said of it. */
  base: number | null | undefined;
  readonly places: Map<number, Place>;
  bye: Bye | undefined;
}

const pieceBytes = 1024 * 1024;

/** @throws what the file system says; OutlierscopeError `damaged-recording`. */
export function readRecordedRuns(paths: readonly string[]): RecordedRuns {
  const files: RecordFile[] = [];
  const gatherer = new Gatherer();
  const close = () => {
    for (const file of files) file.close();
  };
  let skippedBytes = 0;
  try {
    for (const path of paths) {
      const file = new RecordFile(path, 'r');
      files.push(file);
      gatherer.enter(file);
      const reader = new RecordReader();
      for (const piece of piecesOf(path)) for (const record of reader.push(piece)) gatherer.take(record);
      for (const record of reader.end()) gatherer.take(record);
      skippedBytes += reader.skippedBytes;
    }
  } catch (error) {
    close();
    throw error;
  }
  return { runs: gatherer.runs(), skippedBytes, skippedRecords: gatherer.skipped, close };
}

function* piecesOf(path: string): Generator<Uint8Array> {
  const descriptor = openSync(path, 'r');
  try {
    const piece = new Uint8Array(pieceBytes);
    for (let read = readSync(descriptor, piece); read > 0; read = readSync(descriptor, piece)) {
      yield piece.subarray(0, read);
    }
  } finally {
    closeSync(descriptor);
  }
}

class Gatherer {
  skipped = 0;
  private readonly gathered = new Map<string, Gathered>();
  private run: Gathered | undefined;
  private shelf: Shelf | undefined;

  enter(file: RecordFile): void {
    this.shelf = shelfOf(file);
    this.run = undefined; // each file says again whose it is
  }

  take(record: RawRecord): void {
    try {
      if (record.kind === recordKinds.frame) this.takeFrame(record);
      else this.takeMessage(record);
    } catch {
      this.skipped += 1;
    }
  }

  runs(): RestoredRun[] {
    return [...this.gathered.values()].map(({ hello, base, places, bye }) => ({
      hello,
      base: base === undefined ? 0 : base,
      bye,
      frames: [...places].map(([sequence, place]) => ({ sequence, place })).sort((a, b) => a.sequence - b.sequence),
    }));
  }

  private takeFrame({ payload, offset }: RawRecord): void {
    const { shelf, run } = this;
    if (run === undefined || shelf === undefined) throw new Error('a frame before its hello');
    const { sequence } = decodeFrame(payload).frame;
    run.places.set(sequence, { shelf, offset, length: payload.byteLength });
  }

  private takeMessage(record: RawRecord): void {
    const message = parseRecord(record);
    if (message === undefined) return; // a kind of a later version
    if (message.kind === 'hello') {
      const { hello } = message;
      const known = this.gathered.get(hello.runId);
      this.run = known ?? { hello, base: undefined, places: new Map(), bye: undefined };
      if (lengthOf(hello) >= lengthOf(this.run.hello)) this.run.hello = hello;
      this.gathered.set(hello.runId, this.run);
      return;
    }
    const { run } = this;
    if (run === undefined) throw new Error(`a ${message.kind} before its hello`);
    if (message.kind === 'bye') run.bye = message.bye;
    else if (message.kind === 'base') run.base = message.base ?? run.base ?? null;
    else {
      const { sites, scalars } = run.hello;
      const { declare } = message;
      run.hello = { ...run.hello, sites: [...sites, ...declare.sites], scalars: [...scalars, ...declare.scalars] };
    }
  }
}

function lengthOf({ sites, scalars }: Hello): number {
  return sites.length + scalars.length;
}

function shelfOf(file: RecordFile): Shelf {
  return {
    read({ offset, length }) {
      try {
        return file.read(offset, length);
      } catch {
        return undefined;
      }
    },
    release() {},
  };
}

/**
 * A run's part of the spool: a folder of its own with segments, files of records that each say whose they are. A segment goes when all
 * of its frames are acknowledged, so nothing is ever rewritten; beyond the limit the oldest goes. For the worker thread only.
 *
 * A frame is written before it counts as safe, and the disk is asked to keep it once a second: safe frames survive the end of the
 * process, those of the last second perhaps not that of the machine.
 */
import { randomUUID } from 'node:crypto';
import { mkdirSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import type { Bye, Declare, Hello } from '../../src/messages.ts';
import { recordHeaderBytes } from '../../src/recording.ts';
import type { Place, Shelf } from './backlog.ts';
import type { Disk } from './disk.ts';
import { RecordFile } from './record-file.ts';
import type { Keeper } from './sender-parts.ts';
import { lockFolder } from './spool-lock.ts';

const syncMilliseconds = 1000;
/** Segments that a full spool has: what is given up at once when it is full. */
const segmentsOfSpool = 16;
const writing = 'writing to the spool';
const notSafe = 'frames are kept in memory only until it succeeds again';

export class Spool implements Keeper {
  onEvicted: (shelf: Shelf) => void = () => {};
  private readonly folder: string;
  private readonly limitBytes: () => number;
  private readonly disk: Disk;
  private readonly unlock: () => void;
  private readonly timer: ReturnType<typeof setInterval>;
  private hello: Hello | undefined;
  private base: number | null = 0;
  private segments: Segment[] = [];
  /** The segment that is written to; undefined when the next frame begins one. */
  private current: Segment | undefined;
  private made = 0;

  /** Makes the run's folder in that of the spool. `limitBytes` may change. @throws what the file system says. */
  constructor(spool: string, limitBytes: () => number, disk: Disk) {
    const { folder, unlock } = makeFolder(spool);
    this.folder = folder;
    this.unlock = unlock;
    this.limitBytes = limitBytes;
    this.disk = disk;
    this.timer = setInterval(() => this.sync(), syncMilliseconds);
    this.timer.unref();
  }

  begin(hello: Hello, base: number | null): void {
    this.hello = hello;
    this.base = base;
  }

  declare(declare: Declare): void {
    if (this.hello === undefined) return;
    const { sites, scalars } = this.hello;
    this.hello = { ...this.hello, sites: [...sites, ...declare.sites], scalars: [...scalars, ...declare.scalars] };
    this.say(({ file }) => file.appendMessage({ kind: 'declare', declare }));
  }

  setBase(base: number): void {
    this.base = base;
    // Once a frame with it is at the server, a start that does not know it would send that frame under another number.
    this.say(({ file }) => {
      file.appendMessage({ kind: 'base', base });
      file.syncNow();
    });
  }

  append(frame: Uint8Array<ArrayBuffer>): Place | undefined {
    return this.disk.attempt(writing, notSafe, () => {
      const segment = this.segmentFor(recordHeaderBytes + frame.byteLength);
      const offset = segment.file.append('frame', frame);
      segment.live += 1;
      return { shelf: segment, offset, length: frame.byteLength };
    });
  }

  bye(bye: Bye): void {
    if (this.segments.length > 0) this.say(({ file }) => file.appendMessage({ kind: 'bye', bye }));
    this.sync();
  }

  /** Ends it: what is not delivered stays for the next start. */
  close(rest: 'all delivered' | 'some left'): void {
    clearInterval(this.timer);
    this.disk.attempt('closing the spool', 'the disk may not have all of it yet', () => {
      for (const { file } of this.segments) {
        if (rest === 'some left') file.syncNow();
        file.close();
      }
      if (rest === 'all delivered') rmSync(this.folder, { recursive: true, force: true });
    });
    this.unlock();
  }

  /** Adds to what the segment says of the run; if that fails the next segment says it. */
  private say(write: (segment: Segment) => void): void {
    const { current } = this;
    if (current === undefined) return;
    const said = this.disk.attempt(writing, notSafe, () => {
      write(current);
      return true;
    });
    if (said !== true) this.finishSegment();
  }

  private segmentFor(bytes: number): Segment {
    const segmentBytes = this.limitBytes() / segmentsOfSpool;
    if (this.current !== undefined && this.current.file.size + bytes > segmentBytes) this.finishSegment();
    if (this.current !== undefined) return this.current;
    this.makeRoom(Math.max(segmentBytes, bytes));
    return this.beginSegment();
  }

  private beginSegment(): Segment {
    if (this.hello === undefined) throw new Error('a frame came before its hello');
    const name = `${String(this.made++).padStart(8, '0')}.olr`;
    const file = new RecordFile(join(this.folder, name), 'ax+');
    const segment = new Segment(file, this.disk, () => this.remove(segment));
    try {
      file.appendMessage({ kind: 'hello', hello: this.hello });
      if (this.base !== 0) file.appendMessage({ kind: 'base', base: this.base });
    } catch (error) {
      segment.remove();
      throw error;
    }
    this.segments.push(segment);
    this.current = segment;
    return segment;
  }

  private finishSegment(): void {
    const { current } = this;
    this.current = undefined;
    if (current === undefined) return;
    current.file.sync((error) => this.disk.fault(writing, notSafe, error));
    current.isFinished = true;
    if (current.live === 0) this.remove(current);
  }

  private makeRoom(bytes: number): void {
    const used = () => this.segments.reduce((sum, { file }) => sum + file.size, 0);
    for (
      let [oldest] = this.segments;
      oldest !== undefined && used() + bytes > this.limitBytes();
      [oldest] = this.segments
    ) {
      this.onEvicted(oldest);
      this.remove(oldest);
    }
  }

  private remove(segment: Segment): void {
    if (!this.segments.includes(segment)) return;
    this.segments = this.segments.filter((each) => each !== segment);
    if (this.current === segment) this.current = undefined;
    segment.remove();
  }

  private sync(): void {
    this.current?.file.sync((error) => this.disk.fault(writing, notSafe, error));
  }
}

function makeFolder(spool: string): { folder: string; unlock: () => void } {
  for (let attempt = 0; attempt < 10; attempt++) {
    const folder = join(spool, newFolderName());
    mkdirSync(folder, { recursive: true, mode: 0o700 });
    const unlock = lockFolder(folder);
    if (unlock !== undefined) return { folder, unlock };
    // Another process looked for leftovers at this very moment, and took the empty folder for one.
  }
  throw new Error(`cannot lock a folder of its own in ${spool}`);
}

/** Names in the order of their beginnings. */
function newFolderName(): string {
  return `${new Date().toISOString().replace(/[-:.]/g, '')}-${randomUUID().slice(0, 8)}`;
}

/** Whether a folder of the spool is a run's: others are somebody else's business. */
export function isRunFolder(name: string): boolean {
  return /^\d{8}T\d{9}Z-[0-9a-f]{8}$/.test(name);
}

class Segment implements Shelf {
  readonly file: RecordFile;
  /** Frames in it that are still to be delivered. */
  live = 0;
  /** Nothing more is written to it. */
  isFinished = false;
  private readonly disk: Disk;
  private readonly onEmpty: () => void;

  constructor(file: RecordFile, disk: Disk, onEmpty: () => void) {
    this.file = file;
    this.disk = disk;
    this.onEmpty = onEmpty;
  }

  read({ offset, length }: Place): Uint8Array<ArrayBuffer> | undefined {
    return this.disk.attempt('reading the spool', 'its frames are lost, and counted as dropped', () => {
      const bytes = this.file.read(offset, length);
      if (bytes === undefined) throw new Error(`${this.file.path} does not hold what was written to it`);
      return bytes;
    });
  }

  release(): void {
    this.live -= 1;
    if (this.live === 0 && this.isFinished) this.onEmpty();
  }

  remove(): void {
    this.disk.attempt('removing a file of the spool', 'it takes space until it is removed', () => {
      this.file.close();
      rmSync(this.file.path, { force: true });
    });
  }
}

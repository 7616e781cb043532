/** The option `record`: a run in a file of its own, whether there is a server or not. For the worker thread only. */
import { statSync } from 'node:fs';
import { parse } from 'node:path';
import type { Bye, Declare, Hello } from '../../src/messages.ts';
import type { RecordedMessage } from '../../src/recording.ts';
import type { Disk } from './disk.ts';
import { RecordFile } from './record-file.ts';

const writing = 'writing the recording';
const missing = 'frames are missing in it until it succeeds again';

export class RecordingFile {
  /** Frames in it. */
  frames = 0;
  private readonly disk: Disk;
  private readonly warn: (text: string) => void;
  private readonly path: string;
  private file: RecordFile | undefined;
  /** What must be in the file before the next frame. */
  private unwritten: RecordedMessage[] = [];
  private timer: ReturnType<typeof setInterval> | undefined;

  constructor(path: string, disk: Disk, warn: (text: string) => void) {
    this.path = path;
    this.disk = disk;
    this.warn = warn;
  }

  begin(hello: Hello): void {
    this.unwritten.push({ kind: 'hello', hello });
    this.timer = setInterval(() => this.file?.sync((error) => this.disk.fault(writing, missing, error)), 1000);
    this.timer.unref();
  }

  declare(declare: Declare): void {
    this.unwritten.push({ kind: 'declare', declare });
  }

  append(frame: Uint8Array<ArrayBuffer>): 'written' | 'failed' {
    const written = this.disk.attempt(writing, missing, () => {
      this.writeMessages().append('frame', frame);
      return true;
    });
    if (written !== true) return 'failed';
    this.frames += 1;
    return 'written';
  }

  end(bye: Bye): void {
    clearInterval(this.timer);
    if (this.file === undefined) return;
    this.unwritten.push({ kind: 'bye', bye });
    this.disk.attempt(writing, missing, () => this.writeMessages().syncNow());
    this.file.close();
  }

  private writeMessages(): RecordFile {
    this.file ??= this.create();
    for (let [message] = this.unwritten; message !== undefined; [message] = this.unwritten) {
      this.file.appendMessage(message);
      this.unwritten.shift();
    }
    return this.file;
  }

  /** An earlier recording is not touched: the run takes the next free name. */
  private create(): RecordFile {
    if (isPipe(this.path)) return new RecordFile(this.path, 'a');
    const { dir, name, ext } = parse(this.path);
    for (let number = 1; ; number++) {
      const path = number === 1 ? this.path : `${dir === '' ? '' : `${dir}/`}${name}-${number}${ext}`;
      try {
        const file = new RecordFile(path, 'ax+');
        if (number > 1) this.warn(`${this.path} is there already: this run is recorded in ${path}`);
        return file;
      } catch (error) {
        if ((error as NodeJS.ErrnoException).code !== 'EEXIST' || number >= mostNames) throw error;
      }
    }
  }
}

const mostNames = 10_000;

function isPipe(path: string): boolean {
  const status = statSync(path, { throwIfNoEntry: false });
  return status !== undefined && !status.isFile() && !status.isDirectory();
}

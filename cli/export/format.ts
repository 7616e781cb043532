/** What a format is: one or more files, each a stream of pieces, made from the frames as they are read. */
import type { RunRecord } from '../../server/run-record.ts';
import type { Frame } from '../../src/frame.ts';
import type { Alert } from '../../src/messages.ts';
import type { Selection } from './selection.ts';

/** What is exported. */
export interface Source {
  readonly run: RunRecord;
  readonly selection: Selection;
  /** Frames by ascending step, those of one step by sequence. Reads anew whenever it is called. */
  readonly frames: () => AsyncIterable<Frame>;
  /** The one that began first, first. */
  readonly alerts: readonly Alert[];
}

export interface ExportFile {
  /** Below the folder that the user names. */
  readonly name: string;
  /** Made while they are taken: reading, encoding and writing go hand in hand. */
  readonly pieces: AsyncIterable<string | Uint8Array>;
}

export interface Format {
  /** The one file that goes to a file or a pipe; null where a format needs a folder. */
  readonly single: ((source: Source) => ExportFile) | null;
  /** Everything that goes to a folder. */
  readonly all: (source: Source) => readonly ExportFile[];
  /** What is binary does not go to a terminal. */
  readonly content: 'text' | 'binary';
}

/** Time as tables have it: ISO 8601, UTC. */
export function isoTime(milliseconds: number): string {
  return new Date(milliseconds).toISOString();
}

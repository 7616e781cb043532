/** What the sender works with: a socket, a place that keeps frames, a run of an earlier process. */
import type { Bye, Declare, Hello } from '../../src/messages.ts';
import type { Place, Shelf } from './backlog.ts';

/** The part of the WHATWG WebSocket that is used; npm `ws` has it too. */
export interface Socket {
  binaryType: string;
  readonly bufferedAmount: number;
  onopen: ((event: never) => void) | null;
  onmessage: ((event: never) => void) | null;
  onclose: ((event: never) => void) | null;
  onerror: ((event: never) => void) | null;
  send(data: string | Uint8Array<ArrayBuffer>): void;
  close(code?: number): void;
}

export interface SenderSettings {
  readonly url: string;
  readonly bufferBytes: number;
  /** Where sockets tell nothing of a peer that vanished: a server that owes an answer and says nothing for so long is given up. */
  readonly silenceMilliseconds?: number;
}

/** Where frames are kept over the end of the process. Never throws: what cannot be written is not kept. */
export interface Keeper {
  begin(hello: Hello, base: number | null): void;
  declare(declare: Declare): void;
  /** Before the first frame with this base goes out. */
  setBase(base: number): void;
  append(frame: Uint8Array<ArrayBuffer>): Place | undefined;
  bye(bye: Bye): void;
  /** Hears of files that are given up because they are too many. */
  onEvicted: (shelf: Shelf) => void;
}

/** What a restored run needs of where it is kept. */
export type BaseKeeper = Pick<Keeper, 'setBase'>;

/** A run that an earlier process began: from a spool or a recording. */
export interface RestoredRun {
  readonly hello: Hello;
  /** Null: its frames are numbered from 0, and go behind what the server has. */
  readonly base: number | null;
  readonly frames: readonly { readonly sequence: number; readonly place: Place }[];
  readonly bye: Bye | undefined;
}

/**
 * Recordings: a run as records in a file, for the spool and for runs without a server. Pure: bytes in, records out; runs in Node and
 * browsers. Layout, little-endian (docs/protocol.md):
 *
 *     0 u32 marker 'OLR1'      8 u32 CRC-32 of all that follows in the record
 *     4 u32 payload bytes     12 u8  kind, 13 u8 x 3 reserved = 0, then the payload
 *
 * The payload is a message of the protocol as JSON, or a frame. A record that a crash cut off, or that a disk spoiled, is told by its
 * CRC; reading goes on at the next marker, so one bad place costs no more than the records that it touches.
 */
import { crc32 } from './crc32.ts';
import { OutlierscopeError } from './errors.ts';
import { type Bye, type Declare, type Hello, limits, parseTrainerMessage } from './messages.ts';

export const recordKinds = { hello: 1, declare: 2, frame: 3, bye: 4, base: 5 } as const;
export type RecordKind = keyof typeof recordKinds;

/** What a record says. `base`: what is added to the frames' sequence numbers; null while a resumed run has not heard it. */
export type RecordedMessage =
  | { readonly kind: 'hello'; readonly hello: Hello }
  | { readonly kind: 'declare'; readonly declare: Declare }
  | { readonly kind: 'bye'; readonly bye: Bye }
  | { readonly kind: 'base'; readonly base: number | null };

/** A whole record whose CRC is right. */
export interface RawRecord {
  readonly kind: number;
  readonly payload: Uint8Array<ArrayBuffer>;
  /** Where the payload begins in the file. */
  readonly offset: number;
}

export const recordHeaderBytes = 16;
const marker = 0x3152_4c4f; // 'OLR1'
/** Looking for the next record costs a CRC over what a false one claims: a file made for that would take for ever. */
const mostWastedBytes = 1024 ** 3;

/** The header of a record; the payload follows it as it is, so that frames need no copy. */
export function recordHeader(kind: RecordKind, payload: Uint8Array): Uint8Array<ArrayBuffer> {
  const header = new Uint8Array(recordHeaderBytes);
  const view = new DataView(header.buffer);
  view.setUint32(0, marker, true);
  view.setUint32(4, payload.byteLength, true);
  view.setUint8(12, recordKinds[kind]);
  view.setUint32(8, crc32(payload, crc32(header.subarray(12))), true);
  return header;
}

/** The payload of a record that is a message. The token stays out of files. */
export function messagePayload(message: RecordedMessage): Uint8Array<ArrayBuffer> {
  return new TextEncoder().encode(JSON.stringify(contentOf(message)));
}

function contentOf(message: RecordedMessage): unknown {
  if (message.kind === 'declare') return message.declare;
  if (message.kind === 'bye') return message.bye;
  if (message.kind === 'base') return { base: message.base };
  const { token: _, ...hello } = message.hello;
  return hello;
}

/** What a record's payload says; undefined for kinds that this version does not know. @throws OutlierscopeError (`malformed-message`). */
export function parseRecord({ kind, payload }: RawRecord): RecordedMessage | undefined {
  if (kind === recordKinds.base) return { kind: 'base', base: baseOf(textOf(payload)) };
  if (kind !== recordKinds.hello && kind !== recordKinds.declare && kind !== recordKinds.bye) return undefined;
  const message = parseTrainerMessage(textOf(payload));
  if (message.type === 'hello' && kind === recordKinds.hello) return { kind: 'hello', hello: message };
  if (message.type === 'declare' && kind === recordKinds.declare) return { kind: 'declare', declare: message };
  if (message.type === 'bye' && kind === recordKinds.bye) return { kind: 'bye', bye: message };
  throw malformed(`a record of kind ${kind} that holds a message ${message.type}`);
}

function textOf(payload: Uint8Array): string {
  return new TextDecoder().decode(payload);
}

function baseOf(text: string): number | null {
  const { base } = JSON.parse(text) as { base?: unknown };
  if (base === null || (Number.isSafeInteger(base) && (base as number) >= 0)) return base as number | null;
  throw malformed(`the base ${String(base)}`);
}

function malformed(what: string): OutlierscopeError {
  return new OutlierscopeError(`malformed recording: ${what}`, { code: 'malformed-message' });
}

/** Reads records from a file's bytes, in pieces of any size. Holds no more than one record and one piece. */
export class RecordReader {
  /** Bytes that belong to no whole record: cut off, spoiled, or foreign. */
  skippedBytes = 0;
  private pending: Uint8Array<ArrayBuffer> = new Uint8Array(0);
  /** Where `pending` begins in the file. */
  private offset = 0;
  private wastedBytes = 0;

  /** The records that are whole with this piece. @throws OutlierscopeError (`damaged-recording`) when it is made of false beginnings. */
  push(piece: Uint8Array): RawRecord[] {
    const joined = new Uint8Array(this.pending.length + piece.length);
    joined.set(this.pending);
    joined.set(piece, this.pending.length);
    this.pending = joined;
    return this.read('more may come');
  }

  /** After the last piece: what a record that was cut off had swallowed. */
  end(): RawRecord[] {
    return this.read('this is all');
  }

  private read(outlook: 'more may come' | 'this is all'): RawRecord[] {
    const records: RawRecord[] = [];
    const bytes = this.pending;
    const view = new DataView(bytes.buffer);
    let at = 0;
    const skip = (count: number): void => {
      this.skippedBytes += count;
      at += count;
    };
    while (bytes.length - at >= recordHeaderBytes) {
      const length = view.getUint32(at + 4, true);
      if (view.getUint32(at, true) !== marker || length > limits.frameBytes) {
        skip(bytesToNextMarker(bytes, at + 1) - at);
        continue;
      }
      const end = at + recordHeaderBytes + length;
      if (end > bytes.length) {
        if (outlook === 'more may come') break;
        skip(bytesToNextMarker(bytes, at + 1) - at);
      } else if (crc32(bytes.subarray(at + 12, end)) !== view.getUint32(at + 8, true)) {
        this.waste(length);
        skip(bytesToNextMarker(bytes, at + 1) - at);
      } else {
        const from = at + recordHeaderBytes;
        records.push({ kind: view.getUint8(at + 12), payload: bytes.slice(from, end), offset: this.offset + from });
        at = end;
      }
    }
    if (outlook === 'this is all') skip(bytes.length - at);
    this.pending = bytes.slice(at);
    this.offset += at;
    return records;
  }

  private waste(length: number): void {
    this.wastedBytes += length;
    if (this.wastedBytes < mostWastedBytes) return;
    throw new OutlierscopeError(`no record found in ${mostWastedBytes} bytes that claim to be some`, {
      code: 'damaged-recording',
      hint: 'the file is damaged beyond use',
    });
  }
}

/** Where a marker begins at or after `from`; the last three bytes may be its beginning. */
function bytesToNextMarker(bytes: Uint8Array, from: number): number {
  for (let at = bytes.indexOf(0x4f, from); at >= 0; at = bytes.indexOf(0x4f, at + 1)) {
    const rest = bytes.subarray(at, at + 4);
    if ([0x4f, 0x4c, 0x52, 0x31].every((byte, index) => rest[index] === undefined || rest[index] === byte)) return at;
  }
  return bytes.length;
}

/** A file that records are appended to: whole or not at all, as far as the disk lets it. For the worker thread only. */
import { closeSync, fdatasync, fdatasyncSync, fstatSync, ftruncateSync, openSync, readSync, writevSync } from 'node:fs';
import { crc32 } from '../../src/crc32.ts';
import {
  messagePayload,
  type RecordedMessage,
  type RecordKind,
  recordHeader,
  recordHeaderBytes,
} from '../../src/recording.ts';

export class RecordFile {
  readonly path: string;
  /** Bytes of whole records. */
  size: number;
  private readonly descriptor: number;
  /** A pipe keeps nothing, so there is nothing to wait for. */
  private readonly isPipe: boolean;
  private isDirty = false;
  private isClosed = false;

  /** Creates the file with 'ax+'; with 'r' one that is there is read, with 'a+' added to, with 'a' a pipe. @throws what the file system says. */
  constructor(path: string, flags: 'ax+' | 'r' | 'a+' | 'a') {
    this.path = path;
    this.isPipe = flags === 'a';
    this.descriptor = openSync(path, flags, 0o600); // it holds what the user's config says
    this.size = flags === 'a+' ? fstatSync(this.descriptor).size : 0;
  }

  /** Where the payload lies. @throws what the file system says; what was written of the record is taken back. */
  append(kind: RecordKind, payload: Uint8Array<ArrayBuffer>): number {
    const parts = [recordHeader(kind, payload), payload];
    try {
      for (let left = recordHeaderBytes + payload.byteLength; left > 0; ) {
        let written = writevSync(this.descriptor, parts);
        left -= written;
        // A disk that is nearly full takes a part.
        while (parts[0] !== undefined && written >= parts[0].byteLength)
          written -= (parts.shift() as Uint8Array).byteLength;
        if (parts[0] !== undefined) parts[0] = parts[0].subarray(written);
      }
    } catch (error) {
      this.takeBack();
      throw error;
    }
    this.isDirty = !this.isPipe;
    const offset = this.size + recordHeaderBytes;
    this.size = offset + payload.byteLength;
    return offset;
  }

  /** @throws as `append`. */
  appendMessage(message: RecordedMessage): void {
    this.append(message.kind, messagePayload(message));
  }

  /** The payload at an offset, if its record is what was written. @throws what the file system says. */
  read(offset: number, length: number): Uint8Array<ArrayBuffer> | undefined {
    const record = new Uint8Array(recordHeaderBytes + length);
    for (let read = 0; read < record.length; ) {
      const more = readSync(this.descriptor, record, read, record.length - read, offset - recordHeaderBytes + read);
      if (more === 0) return undefined;
      read += more;
    }
    const stated = new DataView(record.buffer).getUint32(8, true);
    return crc32(record.subarray(12)) === stated ? record.slice(recordHeaderBytes) : undefined;
  }

  /** Has the disk keep what was written, without waiting for it. */
  sync(onError: (error: Error) => void): void {
    if (!this.isDirty || this.isClosed) return;
    this.isDirty = false;
    fdatasync(this.descriptor, (error) => {
      if (error !== null && !this.isClosed) onError(error);
    });
  }

  /** The same, and waits. @throws what the file system says. */
  syncNow(): void {
    if (!this.isDirty) return;
    this.isDirty = false;
    fdatasyncSync(this.descriptor);
  }

  close(): void {
    if (this.isClosed) return;
    this.isClosed = true;
    closeSync(this.descriptor);
  }

  private takeBack(): void {
    try {
      ftruncateSync(this.descriptor, this.size);
    } catch {
      // Then a part of a record stays, and readers pass it over. Offsets follow what is really there.
      try {
        this.size = fstatSync(this.descriptor).size;
      } catch {}
    }
  }
}

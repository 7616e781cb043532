/** Where an export goes: a pipe, or files that appear when they are whole. */
import { createWriteStream, mkdirSync, renameSync, rmSync, type Stats, statSync } from 'node:fs';
import { dirname } from 'node:path';
import { Readable, type Writable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { messageOf, OutlierscopeError } from '../../src/errors.ts';

type Pieces = AsyncIterable<string | Uint8Array>;

/**
 * Writes to a stream that stays open.
 * @returns `reader gone` when whoever reads it has had enough, as `head` does: no fault of anybody's.
 */
export async function writeToStream(
  pieces: Pieces,
  stream: Writable,
  signal: AbortSignal,
): Promise<'written' | 'reader gone'> {
  try {
    await pipeline(Readable.from(pieces, { objectMode: true, highWaterMark: 1 }), stream, { end: false, signal });
    return 'written';
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'EPIPE') return 'reader gone';
    throw error;
  }
}

/**
 * Writes a file, and its folder where it is missing. Until it is whole it has another name, so that nobody takes a part for it.
 * Gives its size. @throws OutlierscopeError `cannot-write`
 */
export async function writeToFile(path: string, pieces: Pieces, signal: AbortSignal): Promise<number> {
  // A pipe or a device cannot be replaced.
  const place = isSpecial(path) ? path : `${path}.partial`;
  try {
    mkdirSync(dirname(path), { recursive: true });
    const file = createWriteStream(place);
    try {
      await pipeline(Readable.from(pieces, { objectMode: true, highWaterMark: 1 }), file, { signal });
      if (place !== path) renameSync(place, path);
      return file.bytesWritten;
    } catch (error) {
      if (place !== path) rmSync(place, { force: true });
      throw error;
    }
  } catch (cause) {
    if (signal.aborted || !isOfTheSystem(cause)) throw cause;
    throw new OutlierscopeError(`${path} cannot be written: ${messageOf(cause)}`, {
      code: 'cannot-write',
      hint: 'give a file or folder where you may write, on a disk with room',
      cause,
    });
  }
}

export function isFolder(path: string): boolean {
  return path.endsWith('/') || (kindOf(path)?.isDirectory() ?? false);
}

function isSpecial(path: string): boolean {
  return kindOf(path)?.isFile() === false;
}

/** Undefined for what cannot be looked at: writing will tell why. */
function kindOf(path: string): Stats | undefined {
  try {
    return statSync(path);
  } catch {
    return undefined;
  }
}

function isOfTheSystem(error: unknown): boolean {
  return error instanceof Error && 'syscall' in error;
}

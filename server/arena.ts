/**
 * Memory for messages on their way to the store. A message of a socket lies anywhere in a chunk that other messages share; here it gets
 * a place that typed arrays can lie on. One buffer for many: a buffer for each was a third of what the garbage collector had to do.
 */
export interface Arena {
  /** A copy whose place in its buffer is a multiple of 8. It keeps the whole buffer alive: not for what is kept for long. */
  copy(bytes: Uint8Array): Uint8Array;
}

const chunkBytes = 256 * 1024;
/** Larger ones get a buffer of their own: what is left of a chunk would go to waste. */
const mostShared = chunkBytes / 4;

export function createArena(): Arena {
  let chunk = new ArrayBuffer(0);
  let used = 0;
  return {
    copy(bytes) {
      if (bytes.byteLength > mostShared) return new Uint8Array(bytes);
      if (used + bytes.byteLength > chunk.byteLength) {
        chunk = new ArrayBuffer(chunkBytes);
        used = 0;
      }
      const place = new Uint8Array(chunk, used, bytes.byteLength);
      place.set(bytes);
      used += Math.ceil(bytes.byteLength / 8) * 8;
      return place;
    },
  };
}

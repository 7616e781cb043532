/** Where messages lie between the socket and the store. */
import { expect, test } from 'vitest';
import { createArena } from '../../server/arena.ts';

test('copies lie at multiples of 8, none in the place of another, and are what was given', () => {
  const arena = createArena();
  const originals = Array.from({ length: 300 }, (_, index) => new Uint8Array((index * 37) % 5000).fill(index % 256));
  const copies = originals.map((bytes) => arena.copy(bytes));
  for (const [index, copy] of copies.entries()) {
    expect(copy.byteOffset % 8).toBe(0);
    expect(Buffer.compare(copy, originals[index] as Uint8Array)).toBe(0);
  }
  expect(new Set(copies.map((copy) => copy.buffer)).size).toBeLessThan(10);
});

test('a change of the original is not seen, and a large message has a buffer of its own size', () => {
  const arena = createArena();
  const large = new Uint8Array(1_000_001).fill(1);
  const copy = arena.copy(large);
  large[0] = 2;
  expect([copy[0], copy.length, copy.buffer.byteLength]).toEqual([1, 1_000_001, 1_000_001]);
});

test('a message in a chunk of Node shares nothing with its copy', () => {
  const chunk = Buffer.from('xxabcdefgh');
  const copy = createArena().copy(chunk.subarray(2));
  chunk.fill(0);
  expect(Buffer.from(copy).toString()).toBe('abcdefgh');
});

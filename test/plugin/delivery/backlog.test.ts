/** What is kept of unconfirmed frames: bounded memory, shelves first, the oldest dropped and counted. */
import { expect, test } from 'vitest';
import { Backlog, type Place, type Shelf } from '../../../plugin/delivery/backlog.ts';

const frameBytes = 840; // 1,000 with what stands for the objects around it
const bytes = (value: number): Uint8Array<ArrayBuffer> => new Uint8Array(frameBytes).fill(value);

/** A shelf that keeps every frame in an array. */
function shelf(): {
  shelf: Shelf;
  put(value: number): Place;
  kept: Map<number, Uint8Array<ArrayBuffer>>;
  live: number;
} {
  const made = {
    kept: new Map<number, Uint8Array<ArrayBuffer>>(),
    live: 0,
    put(value: number): Place {
      made.kept.set(value, bytes(value));
      made.live += 1;
      return { shelf: made.shelf, offset: value, length: frameBytes };
    },
    shelf: {
      read: ({ offset }: Place) => made.kept.get(offset),
      release: () => {
        made.live -= 1;
      },
    },
  };
  return made;
}

const drain = (backlog: Backlog): number[] => {
  const taken: number[] = [];
  for (let next = backlog.takeNext(); next !== undefined; next = backlog.takeNext()) {
    expect(next.bytes[0]).toBe(next.sequence % 256);
    taken.push(next.sequence);
  }
  return taken;
};
const range = (from: number, to: number): number[] => Array.from({ length: to - from + 1 }, (_, index) => from + index);

test('in memory alone the oldest are dropped', () => {
  const backlog = new Backlog(10_000);
  for (const value of range(0, 24)) backlog.push(value, bytes(value), undefined);
  expect(backlog).toMatchObject({ dropped: 15, waiting: 10, shelved: 0 });
  expect(drain(backlog)).toEqual(range(15, 24));
  backlog.rewind();
  expect(backlog.confirm(19)).toBe(5);
  expect(drain(backlog)).toEqual(range(20, 24));
  expect(backlog.confirm(24)).toBe(5);
  expect(backlog.waiting).toBe(0);
});

test('with a shelf memory is let go of and nothing is dropped', () => {
  const backlog = new Backlog(40_000);
  const { shelf: _, ...disk } = shelf();
  for (const value of range(0, 199)) backlog.push(value, bytes(value), disk.put(value));
  expect(backlog).toMatchObject({ dropped: 0, waiting: 200, shelved: 200 });
  expect(drain(backlog)).toEqual(range(0, 199));
  expect(backlog.confirm(199)).toBe(200);
});

test('a frame that the shelf cannot give back is dropped and counted, the others are sent', () => {
  const backlog = new Backlog(10_000);
  const disk = shelf();
  for (const value of range(0, 29)) backlog.push(value, bytes(value), disk.put(value));
  disk.kept.delete(20);
  disk.kept.delete(29);
  expect(drain(backlog)).toEqual([...range(0, 19), ...range(21, 28)]);
  expect(backlog).toMatchObject({ dropped: 2, waiting: 28 });
  expect(backlog.confirm(29)).toBe(28);
  expect(disk.live).toBe(0);
});

test('a shelf that is thrown away takes with it what is not in memory', () => {
  const backlog = new Backlog(22_000);
  const first = shelf();
  const second = shelf();
  for (const value of range(0, 19)) backlog.push(value, bytes(value), (value < 10 ? first : second).put(value));
  for (const value of range(20, 29)) backlog.push(value, undefined, first.put(value));
  backlog.lose(first.shelf);
  expect(backlog).toMatchObject({ dropped: 10, waiting: 20, shelved: 10 });
  expect(first.live).toBe(0);
  expect(drain(backlog)).toEqual(range(0, 19));
});

test('when the shelf fails, memory goes to the frames that have nothing else', () => {
  const backlog = new Backlog(40_000);
  const disk = shelf();
  for (const value of range(0, 29)) backlog.push(value, bytes(value), disk.put(value));
  for (const value of range(30, 49)) backlog.push(value, bytes(value), undefined);
  expect(backlog).toMatchObject({ dropped: 0, waiting: 50, shelved: 30 });
  expect(drain(backlog)).toEqual(range(0, 49));
});

test('frames on a shelf alone are bounded too: remembering them takes memory', () => {
  const backlog = new Backlog(160 * 100);
  const disk = shelf();
  for (const value of range(0, 149)) backlog.push(value, undefined, disk.put(value));
  expect(backlog).toMatchObject({ dropped: 50, waiting: 100 });
  expect(disk.live).toBe(100);
});

test('a single frame larger than all of it is kept', () => {
  const backlog = new Backlog(10);
  backlog.push(0, bytes(0), undefined);
  backlog.push(1, bytes(1), undefined);
  expect(backlog).toMatchObject({ dropped: 1, waiting: 1 });
  expect(drain(backlog)).toEqual([1]);
});

test('confirming and pushing by turns over many frames keeps order and counts', () => {
  const backlog = new Backlog(1e6);
  let delivered = 0;
  for (const value of range(0, 9999)) {
    backlog.push(value, bytes(value), undefined);
    if (value % 7 === 0) drain(backlog);
    if (value % 10 === 0) delivered += backlog.confirm(value - 20);
  }
  delivered += backlog.confirm(9999);
  expect(delivered).toBe(10_000);
  expect(backlog.waiting).toBe(0);
});

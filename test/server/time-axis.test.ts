import { expect, test } from 'vitest';
import { sequencesBetween } from '../../server/time-axis.ts';

/** Frames with gaps in their sequence numbers: 0, 3, 6, ... at times 0, 30, 60, ... */
const frames = Array.from({ length: 50 }, (_, index) => ({ sequence: 3 * index, time: 30 * index }));
const frameFrom = (sequence: number) => frames.find((frame) => frame.sequence >= sequence);
const between = (from: number, to: number, aboveSequence = -1, lastSequence = 147) => {
  const range = sequencesBetween(frameFrom, { from, to }, { aboveSequence, lastSequence });
  return frames.filter(({ sequence }) => sequence > range.aboveSequence && sequence <= range.lastSequence);
};

test.each([
  [0, 1470],
  [31, 89],
  [30, 90],
  [500, 501],
  [1470, 1470],
  [2000, 3000],
])('finds exactly the frames from %i to %i', (from, to) => {
  expect(between(from, to)).toEqual(frames.filter(({ time }) => time >= from && time <= to));
});

test('stays within the bounds', () => {
  const within = between(0, 5000, 30, 60);
  expect(within.map(({ sequence }) => sequence)).toEqual([33, 36, 39, 42, 45, 48, 51, 54, 57, 60]);
});

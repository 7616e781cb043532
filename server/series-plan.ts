/** Which roll-ups and which frames make a series: as few bytes as give the points that are asked for. */
import type { Bucket, Reading } from './sqlite/reading.ts';
import { bucketFan, bucketFrames, highestLevel } from './sqlite/rolling.ts';
import type { StepRange } from './store.ts';

export interface SeriesPlan {
  /** Buckets by number, both ends inclusive. */
  readonly rollups: readonly { readonly level: number; readonly from: number; readonly to: number }[];
  /** Buckets that a bound of the range cuts: their frames are read, by sequence number. */
  readonly edges: readonly { readonly above: number; readonly to: number }[];
  /** All frames of the range above that sequence number are read, one by one. */
  readonly framesAbove: number;
}

/** How much coarser than asked for a series may be, where that saves reading its frames. */
const coarser = 4;

interface Node extends Bucket {
  readonly level: number;
  /** The last sequence number before it. */
  readonly start: number;
}

export function planSeries(reading: Reading, run: number, range: StepRange, points: number): SeriesPlan {
  const { expired } = reading.marks(run);
  const { aboveSequence = -1 } = range;
  const { inside, cut, above } = cover(reading, run, range);
  const frames =
    inside.reduce((sum, node) => sum + node.frames, 0) +
    cut.reduce((sum, node) => sum + node.frames, 0) / 2 +
    reading.countFrames(run, range, above);
  // A bucket gives two points, as a pair of points stands for so many frames. Somewhat fewer points than were asked for are better
  // than reading every frame for the rest of them.
  const framesOfPair = frames / Math.floor(points / 2);
  let level = 0;
  for (let size = bucketFrames; level < highestLevel && size <= coarser * framesOfPair; size *= bucketFan) level += 1;

  if (level === 0) {
    // Frame by frame, but where retention deleted them.
    const gone = reading.buckets(
      run,
      1,
      { from: 0, to: Number.MAX_SAFE_INTEGER },
      Math.min(expired, range.lastSequence),
    );
    const touched = gone.filter((bucket) => overlaps(bucket, range) && bucket.last_sequence > aboveSequence);
    const rollups = touched.map(({ number }) => ({ level: 1, from: number, to: number }));
    return { rollups: joined(rollups), edges: [], framesAbove: Math.max(expired, aboveSequence) };
  }
  const rollups = inside.map(({ level: own, number }) => {
    const width = bucketFan ** Math.max(0, own - level);
    return { level: Math.min(own, level), from: number * width, to: (number + 1) * width - 1 };
  });
  const lost = cut.filter((bucket) => bucket.last_sequence <= expired);
  return {
    rollups: joined([...rollups, ...lost.map(({ number }) => ({ level: 1, from: number, to: number }))]),
    edges: cut
      .filter((bucket) => bucket.last_sequence > expired)
      .map((bucket) => ({ above: Math.max(bucket.start, aboveSequence), to: bucket.last_sequence })),
    framesAbove: above,
  };
}

/** The buckets that lie in a range, as large as they are; those of level 1 that it cuts; and where the last bucket ends. */
function cover(reading: Reading, run: number, range: StepRange): { inside: Node[]; cut: Node[]; above: number } {
  const inside: Node[] = [];
  const cut: Node[] = [];
  const { aboveSequence = -1 } = range;
  const visit = (level: number, bucket: Bucket, start: number): void => {
    if (!overlaps(bucket, range) || bucket.last_sequence <= aboveSequence) return;
    const node = { ...bucket, level, start };
    const isWhole = start >= aboveSequence && bucket.lowest_step >= range.from && bucket.highest_step <= range.to;
    if (isWhole) inside.push(node);
    else if (level === 1) cut.push(node);
    else {
      const from = bucket.number * bucketFan;
      const children = reading.buckets(run, level - 1, { from, to: from + bucketFan - 1 }, range.lastSequence);
      let before = start;
      for (const child of children) {
        visit(level - 1, child, before);
        before = child.last_sequence;
      }
    }
  };
  let above = -1;
  let from = 0;
  for (let level = highestLevel; level >= 1; level--) {
    const buckets = reading.buckets(run, level, { from, to: Number.MAX_SAFE_INTEGER }, range.lastSequence);
    for (const bucket of buckets) {
      visit(level, bucket, above);
      above = bucket.last_sequence;
    }
    from = ((buckets.at(-1)?.number ?? from - 1) + 1) * bucketFan;
  }
  return { inside, cut, above: Math.max(above, aboveSequence) };
}

function overlaps(bucket: Bucket, { from, to }: StepRange): boolean {
  return bucket.lowest_step <= to && bucket.highest_step >= from;
}

/** Neighbours of a level as one. */
function joined(stretches: SeriesPlan['rollups']): SeriesPlan['rollups'] {
  const result: { level: number; from: number; to: number }[] = [];
  for (const { level, from, to } of stretches) {
    const last = result.at(-1);
    if (last !== undefined && last.level === level && last.to + 1 === from) last.to = to;
    else result.push({ level, from, to });
  }
  return result;
}

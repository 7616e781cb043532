/** The same series of several runs, the ranks of a group, as bands: minimum, median and maximum over the runs by step. Pure. */
import { absentValues, isMeasured } from '../src/frame.ts';
import type { Stretch } from './envelope.ts';
import { type JsonNumber, jsonNumberAt } from './json.ts';
import { lower, type Point, raise } from './rollup.ts';

/** What one run brings. */
export interface BandMember {
  readonly sites: readonly string[];
  readonly points: readonly Point[];
  readonly envelope: readonly Stretch[];
}

/** Lists by site, then by cell; of a scalar one list, and no sites. */
export interface Bands {
  readonly metric: string;
  readonly sites: readonly string[];
  /** Lowest and highest step of each cell: equal where it is one step. */
  readonly from: readonly number[];
  readonly to: readonly number[];
  /** How many runs have a frame in each cell. */
  readonly ranks: readonly number[];
  readonly minima: readonly (readonly JsonNumber[])[];
  readonly medians: readonly (readonly JsonNumber[])[];
  readonly maxima: readonly (readonly JsonNumber[])[];
}

/** Numbers held at once for the medians. */
const mostHeld = 16 * 1024 * 1024;

/**
 * @param rows The sites, or one empty name for a scalar. Sites are told by their names, so members may differ in them.
 * @param most Most cells; fewer where members and rows are so many that their values would not fit in memory.
 */
export function toBands(metric: string, rows: readonly string[], members: readonly BandMember[], most: number): Bands {
  const fitting = Math.floor(mostHeld / Math.max(1, rows.length * members.length));
  const cells = cellsOf(members, Math.max(1, Math.min(most, fitting)));
  const width = rows.length;
  const minima = cells.map(() => absentValues(width));
  const maxima = cells.map(() => absentValues(width));
  const values = cells.map(() => absentValues(width * members.length));
  const ranks = new Array<number>(cells.length).fill(0);

  for (const [place, member] of members.entries()) {
    const columns = rows.map((row) => member.sites.indexOf(row));
    const placed = (values: Float32Array): Float32Array => {
      const own = absentValues(width);
      for (const [row, column] of columns.entries())
        if (column >= 0 && column < values.length) copyBits(values, column, own, row);
      return own;
    };
    for (const stretch of member.envelope) {
      for (let cell = cellOf(cells, stretch.from); cell < cells.length; cell++) {
        if ((cells[cell] as Cell).from > stretch.to) break;
        lower(minima[cell] as Float32Array, placed(stretch.minima));
        raise(maxima[cell] as Float32Array, placed(stretch.maxima));
      }
    }
    let last = -1;
    for (const point of member.points) {
      const cell = cellOf(cells, point.step);
      if (cell !== last) ranks[cell] = (ranks[cell] ?? 0) + 1;
      last = cell;
      (values[cell] as Float32Array).set(placed(point.values), place * width);
    }
  }
  const bySite = (read: (cell: number, row: number) => JsonNumber): JsonNumber[][] =>
    rows.map((_, row) => cells.map((_cell, cell) => read(cell, row)));
  return {
    metric,
    sites: rows.filter((row) => row !== ''),
    from: cells.map(({ from }) => from),
    to: cells.map(({ to }) => to),
    ranks,
    minima: bySite((cell, row) => jsonNumberAt(minima[cell] as Float32Array, row)),
    medians: bySite((cell, row) => medianOf(values[cell] as Float32Array, row, width)),
    maxima: bySite((cell, row) => jsonNumberAt(maxima[cell] as Float32Array, row)),
  };
}

interface Cell {
  readonly from: number;
  readonly to: number;
}

/** Every step by itself where they fit, else stretches of about as many steps each. */
function cellsOf(members: readonly BandMember[], most: number): Cell[] {
  const ends = members.flatMap(({ points, envelope }) => [
    ...points.map(({ step }) => step),
    ...envelope.flatMap(({ from, to }) => [from, to]),
  ]);
  const steps = [...new Set(ends)].sort((one, other) => one - other);
  const count = Math.min(most, steps.length);
  return Array.from({ length: count }, (_, cell) => ({
    from: steps[Math.floor((cell * steps.length) / count)] as number,
    to: steps[Math.floor(((cell + 1) * steps.length) / count) - 1] as number,
  }));
}

/** The first cell that ends at a step or after it. */
function cellOf(cells: readonly Cell[], step: number): number {
  let low = 0;
  let high = cells.length;
  while (low < high) {
    const middle = (low + high) >> 1;
    if ((cells[middle] as Cell).to < step) low = middle + 1;
    else high = middle;
  }
  return low;
}

/** Of what was measured; NaN only where nothing else was. Of an even number the mean of the two in the middle. */
function medianOf(values: Float32Array, row: number, width: number): JsonNumber {
  const numbers: number[] = [];
  let nan: JsonNumber = null;
  for (let index = row; index < values.length; index += width) {
    const value = values[index] as number;
    if (!Number.isNaN(value)) numbers.push(value);
    else if (isMeasured(values, index)) nan = 'NaN';
  }
  if (numbers.length === 0) return nan;
  numbers.sort((one, other) => one - other);
  const half = numbers.length >> 1;
  const upper = numbers[half] as number;
  const below = numbers.length % 2 === 0 ? (numbers[half - 1] as number) : upper;
  return jsonNumberAt(Float64Array.of(below === upper ? upper : (below + upper) / 2), 0);
}

/** A NaN keeps its bits, which say whether it was measured. */
function copyBits(from: Float32Array, index: number, to: Float32Array, at: number): void {
  new Uint32Array(to.buffer, to.byteOffset, to.length)[at] = new Uint32Array(from.buffer, from.byteOffset, from.length)[
    index
  ] as number;
}

/** The heatmap's pixels: which steps a pixel column shows, and what colour a value has. Pure. */
import { type Colour, type Ground, heatColour, infinityColour, notANumberColour } from './colours.ts';
import { positionOf, type Scale } from './scale.ts';
import { closestIndex, isWorse, type Series } from './series.ts';
import type { Value } from './types.ts';

/** First and last index into `steps` that a pixel column shows. */
export type ColumnRange = readonly [first: number, last: number];

/**
 * The steps behind each of `pixels` columns of the step axis. A step reaches halfway to its neighbours. Where steps are wider than pixels
 * a column shows the step at its centre; where they are denser, all that it covers, so that none falls between two columns.
 */
export function columnRanges(
  steps: readonly number[],
  [from, to]: readonly [number, number],
  pixels: number,
): ColumnRange[] {
  const width = (to - from) / pixels;
  const isDense = steps.length * 2 > pixels;
  return Array.from({ length: pixels }, (_, pixel) => {
    const centre = closestIndex(steps, from + (pixel + 0.5) * width);
    if (!isDense) return [centre, centre];
    return [closestIndex(steps, from + pixel * width), closestIndex(steps, from + (pixel + 1) * width)];
  });
}

const shades = 256;

/** Packs colours for the heatmap's image: 32 bits a pixel, red first in memory; 0 is transparent: "not measured". */
export function createPainter(scale: Scale, ground: Ground): (value: Value) => number {
  const ramp = Uint32Array.from({ length: shades }, (_, shade) => pack(heatColour(shade / (shades - 1), ground)));
  const notANumber = pack(notANumberColour[ground]);
  const infinite = pack(infinityColour[ground]);
  return (value) => {
    if (value === null) return 0;
    if (Number.isNaN(value)) return notANumber;
    if (!Number.isFinite(value)) return infinite;
    return ramp[Math.round(positionOf(scale, value) * (shades - 1))] as number;
  };
}

function pack([red, green, blue]: Colour): number {
  return ((255 << 24) | (blue << 16) | (green << 8) | red) >>> 0;
}

/** The sites of an image row: one, or several where there are more sites than rows. */
export function rowSites(sites: number, rows: number, row: number): ColumnRange {
  return [
    Math.floor((row * sites) / rows),
    Math.max(Math.floor((row * sites) / rows), Math.ceil(((row + 1) * sites) / rows) - 1),
  ];
}

/** The image, row by row; a pixel that stands for several values shows the worst of them. */
export function paint(
  { sites, values }: Series,
  columns: readonly ColumnRange[],
  rows: number,
  worse: 'higher' | 'lower' | 'either',
  painter: (value: Value) => number,
): Uint32Array<ArrayBuffer> {
  const image = new Uint32Array(columns.length * rows);
  for (let row = 0; row < rows; row++) {
    const [firstSite, lastSite] = rowSites(sites.length, rows, row);
    for (const [pixel, [first, last]] of columns.entries()) {
      let worst: Value = null;
      for (let site = firstSite; site <= lastSite; site++) {
        for (let index = first; index <= last; index++) {
          const value = values[site]?.[index] ?? null;
          if (isWorse(value, worst, worse)) worst = value;
        }
      }
      image[row * columns.length + pixel] = painter(worst);
    }
  }
  return image;
}

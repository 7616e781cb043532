/**
 * The largest kurtosis of each site over the last while, so that a spike between two scrapes is seen by every scraper. Kept in
 * sub-windows that rotate: a frame costs a comparison for each site, and to read changes nothing.
 */
import type { Frame } from '../src/frame.ts';
import type { RunDescription } from './run-record.ts';

export interface Peaks {
  /** Takes a frame in that arrived then, in milliseconds since 1970 by the server's clock. */
  observe(description: RunDescription, frame: Frame, time: number): void;
  /** The largest value that the site had within the window before that time, NaN for none. Up to a sixth more than the window is seen. */
  largest(site: number, time: number): number;
}

/** Of one window; one more is kept, as the latest is only begun. */
const subWindows = 6;
const rows = subWindows + 1;

export function createPeaks(windowMilliseconds: number): Peaks {
  const length = windowMilliseconds / subWindows;
  let capacity = 0;
  /** rows x capacity; NaN where nothing was measured. */
  let values = new Float32Array();
  /** Which sub-window, counted from 1970, each row holds. */
  const held = new Float64Array(rows).fill(Number.NEGATIVE_INFINITY);

  function grow(sites: number): void {
    const larger = new Float32Array(rows * sites).fill(Number.NaN);
    for (let row = 0; row < rows; row++) larger.set(values.subarray(row * capacity, (row + 1) * capacity), row * sites);
    values = larger;
    capacity = sites;
  }

  return {
    observe({ metrics, sites }, frame, time) {
      const column = metrics.indexOf('kurtosis');
      if (column < 0) return;
      if (sites.length > capacity) grow(sites.length);
      const current = Math.floor(time / length);
      const row = ((current % rows) + rows) % rows;
      const start = row * capacity;
      if (held[row] !== current) {
        values.fill(Number.NaN, start, start + capacity);
        held[row] = current;
      }
      for (let site = 0, index = column; index < frame.values.length; site++, index += metrics.length) {
        const value = frame.values[index] as number;
        // Comparisons with NaN fail: a value that is one is no peak, and any number beats none.
        if (value <= (values[start + site] as number) || Number.isNaN(value)) continue;
        values[start + site] = value;
      }
    },
    largest(site, time) {
      if (site >= capacity) return Number.NaN;
      const oldest = Math.floor(time / length) - subWindows;
      let largest = Number.NaN;
      for (let row = 0; row < rows; row++) {
        const value = values[row * capacity + site] as number;
        if ((held[row] as number) < oldest || value <= largest || Number.isNaN(value)) continue;
        largest = value;
      }
      return largest;
    },
  };
}

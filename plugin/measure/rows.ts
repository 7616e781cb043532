/** Which rows stand for all where a metric needs whole rows. */

const goldenRatio = (Math.sqrt(5) - 1) / 2;

/** How many rows are looked at, at most. */
export const sampledRowCount = {
  /** max_median_ratio and int8_sqnr. */
  sample: 64,
  /** The two correlations by root mean square, and the effective rank. */
  gram: 512,
  /** Queries for attention_entropy. */
  queries: 1024,
} as const;

/**
 * `count` of `n` rows, spread evenly by multiples of the golden ratio: an even stride would fall into step with the sequence
 * length and see, for instance, every first position and no other. All rows when there are no more than `count`.
 */
export function sampledRows(n: number, count: number): Int32Array {
  if (n <= count) return Int32Array.from({ length: n }, (_, row) => row);
  const rows = Int32Array.from({ length: count }, (_, index) => Math.floor((((index + 0.5) * goldenRatio) % 1) * n));
  rows.sort();
  // Where n is not far above count, some fall on the same row. A row seen twice would correlate with itself: each of these
  // moves to the next one that is free, and none so far that those after it find no place.
  let next = 0;
  for (let index = 0; index < count; index++) {
    next = Math.min(Math.max(rows[index] as number, next), n - count + index);
    rows[index] = next++;
  }
  return rows;
}

/** Which rows stand for all where a metric needs whole rows. */

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
 * `count` of `n` rows, ascending, none twice, always the same: one of each stretch of n / count rows, at a scrambled place in
 * it. Even strides, and multiples of the golden ratio too, fall into step with some sequence lengths and batch sizes, and see
 * for instance every first position and no other. All rows when there are no more than `count`.
 */
export function sampledRows(n: number, count: number): Int32Array {
  if (n <= count) return Int32Array.from({ length: n }, (_, row) => row);
  let next = 0;
  return Int32Array.from({ length: count }, (_, stretch) => {
    const row = Math.floor(((stretch + scrambled(stretch)) * n) / count);
    // Where n is not far above count, two may fall on the same row, which would correlate with itself: the second moves on,
    // and none so far that those after it find no place.
    const free = Math.min(Math.max(row, next), n - count + stretch);
    next = free + 1;
    return free;
  });
}

/** A number in [0, 1) for each whole number, without a pattern: the finaliser of MurmurHash3. */
function scrambled(index: number): number {
  let bits = Math.imul(index + 1, 0x9e3779b1);
  bits = Math.imul(bits ^ (bits >>> 16), 0x85ebca6b);
  bits = Math.imul(bits ^ (bits >>> 13), 0xc2b2ae35);
  return ((bits ^ (bits >>> 16)) >>> 0) / 2 ** 32;
}

/**
 * Milliseconds to wait before the next try: half a second doubling up to ten, and up to a quarter less by chance (`random` in 0 to 1),
 * so that all viewers of a restarted server do not come back in the same moment. Pure.
 */
export function backoff(failures: number, random: number): number {
  const wait = Math.min(10_000, 500 * 2 ** Math.min(failures, 10));
  return Math.round(wait * (1 - 0.25 * random));
}

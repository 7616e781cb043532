/** The times under which frames are sent. Pure, and the same again for the same cursor: what is sent twice must be told apart by nobody. */

/** How far a trainer's clock may be ahead of the server's. More would make Prometheus refuse what others send ("out of bounds"). */
export const toleranceMilliseconds = 5_000;

/**
 * A time for each frame, in whole milliseconds: the trainer's, but not later than the ceiling and strictly after the one before,
 * of which `last` is the first. Steps may go back, time may not.
 */
export function timesOf(frames: readonly { readonly time: number }[], last: number, ceiling: number): number[] {
  let before = last;
  return frames.map(({ time }) => {
    before = Math.max(before + 1, Math.min(Math.floor(time), ceiling));
    return before;
  });
}

/** Whether any of these times depends on the ceiling: it must then be written down before they are sent. */
export function isClamped(frames: readonly { readonly time: number }[], ceiling: number): boolean {
  return frames.some(({ time }) => Math.floor(time) > ceiling);
}

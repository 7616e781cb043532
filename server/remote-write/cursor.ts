/** How far remote write has got with a run: what the store keeps for each receiver. */

export interface Cursor {
  readonly runId: string;
  /** Frames up to that sequence number are with the receiver, or lost to it; -1 for none. */
  readonly sequence: number;
  /** So many frames. */
  readonly frames: number;
  /** Of the last sample, in milliseconds since 1970: what follows is later. -1 before the first one. */
  readonly time: number;
  /** Stale markers went out after it. */
  readonly ended: boolean;
  /**
   * Frames behind the cursor up to this sequence number may have gone out with times held to this ceiling, in milliseconds since 1970. It is
   * written down before they do, so that they get the same times when they are sent again.
   */
  readonly planned: number;
  readonly ceiling: number;
  /** Which series were ever sent: series-set.ts. */
  readonly series: Uint8Array;
}

/** A run of which nothing was sent. */
export function beginningOf(runId: string, series: Uint8Array): Cursor {
  return { runId, sequence: -1, frames: 0, time: -1, ended: false, planned: -1, ceiling: 0, series };
}

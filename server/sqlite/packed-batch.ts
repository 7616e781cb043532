/** A batch in the form in which it goes to the thread that writes: few objects, and all frames in one buffer that changes hands. */
import type { RunRecord } from '../run-record.ts';
import type { Batch } from '../store.ts';

export interface PackedBatch {
  readonly runs: readonly PackedRun[];
  readonly frames: PackedFrames;
  readonly alerts: readonly { readonly id: string; readonly runId: string; readonly alert: string }[];
}

interface PackedRun {
  readonly id: string;
  /** JSON; undefined while it is as it was last written. */
  readonly description: string | undefined;
  /** JSON. */
  readonly progress: string;
}

/** The i-th frame is `bytes` from `ends[i - 1]` to `ends[i]`. */
interface PackedFrames {
  readonly runIds: readonly string[];
  readonly sequences: Float64Array;
  readonly steps: Float64Array;
  readonly ends: Float64Array;
  readonly bytes: Uint8Array<ArrayBuffer>;
}

/** Packs a batch; `written` are the descriptions that the store holds already. */
export function packBatch(
  { runs, frames, alerts }: Batch,
  written: ReadonlyMap<string, RunRecord['description']>,
): PackedBatch {
  const total = frames.reduce((bytes, frame) => bytes + frame.bytes.byteLength, 0);
  const packed: PackedFrames = {
    runIds: frames.map((frame) => frame.runId),
    sequences: Float64Array.from(frames, (frame) => frame.sequence),
    steps: Float64Array.from(frames, (frame) => frame.step),
    ends: new Float64Array(frames.length),
    // A frame that came with others lies in a chunk of the socket that is not ours to give away: one copy.
    bytes: new Uint8Array(total),
  };
  let end = 0;
  for (const [index, { bytes }] of frames.entries()) {
    packed.bytes.set(bytes, end);
    end += bytes.byteLength;
    packed.ends[index] = end;
  }
  return {
    runs: runs.map(({ id, description, progress }) => ({
      id,
      description: written.get(id) === description ? undefined : JSON.stringify(description),
      progress: JSON.stringify(progress),
    })),
    frames: packed,
    alerts: alerts.map((alert) => ({ id: alert.id, runId: alert.runId, alert: JSON.stringify(alert) })),
  };
}

/**
 * What the server needs of a store.
 *
 * Order: batches become durable in the order of the calls of `commit`; frames are read by ascending step, those of one
 * step (a run that went back to a checkpoint) by ascending sequence.
 * Ownership: one store object of one process owns a database; opening it a second time fails. Records and frames handed in or out
 * are never changed by either side.
 * Concurrency: one `commit` at a time (the writer sees to it); reads may overlap with it and see whole batches only.
 * A long read is an async iterator of pages, so nobody waits for it and an implementation may move to a worker thread.
 * Errors: every method may reject with an OutlierscopeError of code `store-failed`; nothing of a rejected batch is kept.
 */
import type { DecodedFrame } from '../src/frame.ts';
import type { Alert } from '../src/messages.ts';
import type { RunRecord } from './run-record.ts';

export interface Store {
  /** Writes everything of a batch or nothing; resolves once it survives a power cut. */
  commit(batch: Batch): Promise<void>;
  /** Writes and reads a little: resolves when the store takes writes again. */
  probe(): Promise<void>;
  /** Every run, in the order in which they first said hello. */
  runs(): Promise<RunRecord[]>;
  /** The frame of the highest sequence number, or undefined for a run without frames. */
  latestFrame(runId: string): Promise<DecodedFrame | undefined>;
  /** The last frame at or before a step, or undefined. */
  frameAt(runId: string, step: number): Promise<DecodedFrame | undefined>;
  /** How many frames lie in a range of steps. */
  countFrames(runId: string, range: StepRange): Promise<number>;
  /** The frames of a range of steps, page by page. */
  frames(runId: string, range: StepRange): AsyncIterable<readonly DecodedFrame[]>;
  /** Alerts, those that began last first; at most `limit`. */
  alerts(query: { readonly runId?: string; readonly limit: number }): Promise<Alert[]>;
  close(): Promise<void>;
}

/** What one transaction writes. */
export interface Batch {
  /** Each changed run once, in its last form; before its frames. */
  readonly runs: readonly RunRecord[];
  /** New frames only: a frame whose run and sequence number are held already is an error. */
  readonly frames: readonly FrameToStore[];
  /** Alerts that began or ended; the last form of an id replaces the earlier one. */
  readonly alerts: readonly Alert[];
}

export interface FrameToStore {
  readonly runId: string;
  readonly sequence: number;
  readonly step: number;
  /** The encoded frame as it arrived. */
  readonly bytes: Uint8Array;
}

export interface StepRange {
  /** First step, inclusive. */
  readonly from: number;
  /** Last step, inclusive. */
  readonly to: number;
  /** Last sequence number, inclusive: fixes the range while the run goes on. */
  readonly lastSequence: number;
}

/**
 * What the server needs of a store.
 *
 * Order: batches become durable in the order of the calls of `commit`; frames are read by ascending step, those of one
 * step (a run that went back to a checkpoint) by ascending sequence.
 * Ownership: one store object of one process owns a database; opening it a second time fails. Records and frames handed in or out
 * are never changed by either side.
 * Concurrency: one `commit` or `deleteRun` at a time (the writer sees to it); `forwarded` and reads may overlap with it. Reads see whole
 * batches only, and never make it wait. A long read is an async iterator of pages, so nobody waits for it.
 * Retention: the oldest frames of a run may go, the roll-ups that `series` reads stay. A run's latest frame stays too.
 * Errors: every method may reject with an OutlierscopeError of code `store-failed`; nothing of a rejected batch is kept.
 */
import type { DecodedFrame } from '../src/frame.ts';
import type { Alert } from '../src/messages.ts';
import type { Cursor } from './remote-write/cursor.ts';
import type { RunDescription, RunRecord } from './run-record.ts';
import type { TimeRange } from './time-axis.ts';

export interface Store {
  /** Writes everything of a batch or nothing; resolves once it survives a power cut. */
  commit(batch: Batch): Promise<void>;
  /** Keeps how far remote write has got with these runs. It survives the end of the process, and a power cut may set it back. */
  forwarded(endpoint: string, cursors: readonly Cursor[]): Promise<void>;
  /** Writes that many bytes and forgets them: resolves when the store takes writes again. */
  probe(bytes: number): Promise<void>;
  /** Removes a run with all that is kept of it, at once for readers; its room is given back by and by. */
  deleteRun(runId: string): Promise<void>;
  /** Every run, in the order in which they first said hello. */
  runs(): Promise<RunRecord[]>;
  /** The frame of the highest sequence number, or undefined for a run without frames. */
  latestFrame(runId: string): Promise<DecodedFrame | undefined>;
  /** The last frame at or before a step that is still kept, or undefined. */
  frameAt(runId: string, step: number): Promise<DecodedFrame | undefined>;
  /** How many frames lie in a range of steps. */
  countFrames(runId: string, range: StepRange): Promise<number>;
  /** The frames of a range of steps, page by page. */
  frames(runId: string, range: StepRange): AsyncIterable<readonly DecodedFrame[]>;
  /** How many frames of a run retention has deleted. */
  expiredFrames(runId: string): Promise<number>;
  /** One series of a run as JSON text (docs/api.md, Series), made where it is read: a long one takes a while. */
  series(request: SeriesRequest): Promise<Uint8Array>;
  /** One series of several runs as bands over them, as JSON text (docs/api.md, Bands). */
  bands(request: BandsRequest): Promise<Uint8Array>;
  /** A page of frames of a range, by step or by time, as JSON text (docs/api.md, FramePage), made where they are read. */
  framePage(request: FramePageRequest): Promise<Uint8Array>;
  /** Alerts, those that began last first; at most `limit`. */
  alerts(query: { readonly runId?: string; readonly limit: number }): Promise<Alert[]>;
  /** Alerts page by page, those that began last first. */
  alertPage(query: AlertQuery): Promise<AlertPage>;
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
  /** First sequence number, exclusive. Default: -1. */
  readonly aboveSequence?: number;
}

/** Where a page of frames ended. */
export interface Place {
  readonly step: number;
  readonly sequence: number;
}

export interface FramePageRequest extends Pick<RunDescription, 'sites' | 'metrics' | 'scalars'> {
  readonly runId: string;
  readonly range: StepRange;
  /** The order is by time then, and `range` has all steps. */
  readonly times?: TimeRange;
  /** Where the page before ended. */
  readonly after?: Place;
  /** Most frames; fewer where they are large. */
  readonly limit: number;
}

export interface AlertQuery {
  readonly runId?: string;
  readonly state?: Alert['state'];
  /** Only those that began before the alert of that number. */
  readonly before?: number;
  readonly limit: number;
}

export interface AlertPage {
  readonly alerts: readonly Alert[];
  /** `before` of the next page; undefined behind the last one. */
  readonly next: number | undefined;
}

export interface SeriesRequest {
  readonly runId: string;
  readonly sites: readonly string[];
  readonly metrics: readonly string[];
  readonly scalars: readonly string[];
  /** One of the metrics or of the scalars. */
  readonly name: string;
  /** Most points. */
  readonly points: number;
  readonly range: StepRange;
  /** The points are in the order of time then, and `range` has all steps. */
  readonly times?: TimeRange;
  /** `sites`: each site's own extremes too, as an envelope. Default: `frames`, the frames with the extremes of all sites. */
  readonly extremes?: 'frames' | 'sites';
}

export interface BandsRequest {
  /** Of each run the same series; `points` are those of the answer. */
  readonly members: readonly SeriesRequest[];
  readonly points: number;
}

/** How much of a run's frames is kept; what is beyond is deleted in the background, oldest first. */
export interface Retention {
  /** Milliseconds since a frame was stored. */
  readonly age: number | undefined;
  /** Bytes of a run's frames. */
  readonly bytes: number | undefined;
}

/** Told of what the store does by itself. */
export interface StoreObserver {
  expired(frames: number): void;
  /** Background work failed; it is tried again later. */
  troubled(error: Error): void;
}

/** What the API and the live socket send (docs/api.md), as the page reads it. */
import type { Alert, Site } from '../../src/messages.ts';

export type { Alert, Site };

/** A number on the wire: `null` is "not measured", the strings are `NaN`, `Infinity` and `-Infinity`. */
export type WireNumber = number | string | null;

/** A number in the page: `null` is "not measured"; NaN and the infinities are themselves. */
export type Value = number | null;

export type RunState = 'connected' | 'silent' | 'finished' | 'failed';

/** The worst value of a metric, and where it was. */
export interface Extreme {
  readonly metric: string;
  readonly site: string;
  readonly value: WireNumber;
  readonly step: number;
}

export interface RunSummary {
  readonly id: string;
  readonly name: string;
  readonly state: RunState;
  readonly startedAt: number;
  readonly lastFrameAt: number | null;
  readonly step: number | null;
  readonly frames: number;
  readonly firstSequence: number | null;
  readonly missing: number;
  readonly dropped: number;
  readonly loss: WireNumber;
  readonly tags: Readonly<Record<string, string>>;
  /** In the latest frame. */
  readonly worst: Extreme | null;
  /** Over the whole run. */
  readonly peak: Extreme | null;
  readonly firing: number;
}

/** A page of the list of runs. */
export interface RunsAnswer {
  readonly runs: readonly RunSummary[];
  readonly total: number;
}

export interface TopNeuron {
  readonly neuron: number;
  readonly share: number;
}

export interface FrameView {
  readonly sequence: number;
  readonly step: number;
  readonly time: number;
  readonly scalars: Readonly<Record<string, WireNumber>>;
  readonly values: Readonly<Record<string, readonly WireNumber[]>>;
  readonly topNeurons: readonly (readonly TopNeuron[])[];
}

export interface RunDetail extends RunSummary {
  readonly sites: readonly Site[];
  readonly metrics: readonly string[];
  readonly scalars: readonly string[];
  readonly config: Readonly<Record<string, string | number | boolean | null>>;
  readonly alerts: readonly Alert[];
  readonly latest: FrameView | null;
}

export interface SeriesAnswer {
  readonly metric: string;
  readonly steps: readonly number[];
  readonly times: readonly number[];
  readonly sites: readonly string[];
  readonly values: readonly (readonly WireNumber[])[];
  readonly scalars: Readonly<Record<string, readonly WireNumber[]>>;
}

export type LiveMessage =
  | { readonly type: 'run'; readonly run: RunSummary }
  | { readonly type: 'frame'; readonly run: string; readonly frame: FrameView; readonly summary: RunSummary }
  | { readonly type: 'alert'; readonly alert: Alert }
  | { readonly type: 'deleted'; readonly run: string };

/** Who the page is signed in as (docs/api.md). */
export interface SessionView {
  readonly state: 'unneeded' | 'signed in' | 'token';
  /** Of the token that was used. */
  readonly name: string;
}

/** A range of steps, both ends included. */
export interface StepRange {
  readonly from: number;
  readonly to: number;
}

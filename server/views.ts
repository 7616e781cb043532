/** What the API and the live socket say of runs and frames (docs/api.md), from records and frames. Pure. */
import { type Frame, noNeuron } from '../src/frame.ts';
import { type JsonNumber, jsonNumberAt } from './json.ts';
import type { Extreme, RunDescription, RunRecord, RunState } from './run-record.ts';

export interface RunSummary {
  readonly id: string;
  readonly name: string;
  readonly state: RunState;
  readonly startedAt: number;
  readonly lastFrameAt: number | null;
  readonly step: number | null;
  readonly frames: number;
  /** Of the first frame that this server took; above 0 when the run began on another one, or its first frames were lost. */
  readonly firstSequence: number | null;
  /** Frames that were numbered and did not come here. */
  readonly missing: number;
  readonly dropped: number;
  readonly loss: number | null;
  readonly tags: Readonly<Record<string, string>>;
  readonly worst: Extreme | null;
  readonly peak: Extreme | null;
  readonly firing: number;
}

export interface FrameView {
  readonly sequence: number;
  readonly step: number;
  readonly time: number;
  readonly scalars: Readonly<Record<string, JsonNumber>>;
  readonly values: Readonly<Record<string, readonly JsonNumber[]>>;
  readonly topNeurons: readonly (readonly TopNeuron[])[];
}

interface TopNeuron {
  readonly neuron: number;
  readonly share: number;
}

export function toRunSummary({ id, description, progress }: RunRecord): RunSummary {
  return {
    id,
    name: description.name,
    state: progress.state,
    startedAt: description.startedAt,
    lastFrameAt: progress.lastFrameAt,
    step: progress.step,
    frames: progress.frames,
    firstSequence: progress.firstSequence ?? null,
    missing: progress.lastSequence + 1 - progress.frames,
    dropped: progress.dropped,
    loss: progress.loss,
    tags: description.tags,
    worst: progress.worst,
    peak: progress.peak,
    firing: Object.values(progress.rules).filter((rule) => rule.alert !== null).length,
  };
}

/** A frame against its run's lists; sites and scalars that were declared after it are `null`. */
export function toFrameView(
  frame: Frame,
  { sites, metrics, scalars }: Pick<RunDescription, 'sites' | 'metrics' | 'scalars'>,
): FrameView {
  return {
    sequence: frame.sequence,
    step: frame.step,
    time: frame.time,
    scalars: Object.fromEntries(scalars.map((name, index) => [name, jsonNumberAt(frame.scalars, index)])),
    values: Object.fromEntries(
      metrics.map((metric, column) => [
        metric,
        sites.map((_, site) => jsonNumberAt(frame.values, site * metrics.length + column)),
      ]),
    ),
    topNeurons: sites.map((_, site) => topNeuronsOf(frame, site)),
  };
}

function topNeuronsOf({ topNeurons: { count, indices, shares } }: Frame, site: number): TopNeuron[] {
  const list: TopNeuron[] = [];
  for (let entry = site * count; entry < (site + 1) * count; entry++) {
    const neuron = indices[entry];
    const share = shares[entry];
    if (neuron !== undefined && neuron !== noNeuron && share !== undefined && Number.isFinite(share))
      list.push({ neuron, share });
  }
  return list;
}

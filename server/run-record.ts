/**
 * What the server keeps of a run beside its frames and alerts, and how each message of the trainer changes it.
 * Pure: a record is plain data that is replaced, never changed, so a transaction that fails is undone by forgetting its records.
 */
import type { Frame } from '../src/frame.ts';
import type { Alert, Bye, Hello, Site } from '../src/messages.ts';
import type { Rule, RulesState } from '../src/rules.ts';
import { evaluateFrame } from './alerts.ts';
import { conflict, mergeScalars, mergeSites, sameNames } from './declared.ts';

/** `silent`: the trainer's connection is gone and it did not say goodbye. */
export type RunState = 'connected' | 'silent' | 'finished' | 'failed';

/** The largest finite kurtosis of a frame or of a run, and where it was. */
export interface Extreme {
  readonly metric: 'kurtosis';
  readonly site: string;
  readonly value: number;
  readonly step: number;
}

/** What the trainer said of the run: changes with hello and declare only. */
export interface RunDescription {
  readonly name: string;
  /** Milliseconds since 1970 by the trainer's clock. */
  readonly startedAt: number;
  /** In the order of the frames' rows; grows, never shrinks. */
  readonly sites: readonly Site[];
  readonly metrics: readonly string[];
  /** In the order of the frames' scalars; grows, never shrinks. */
  readonly scalars: readonly string[];
  readonly tags: Readonly<Record<string, string>>;
  readonly config: Readonly<Record<string, string | number | boolean | null>>;
}

/** Where the run stands: changes with every frame. All numbers are finite, so it survives JSON. */
export interface RunProgress {
  readonly state: RunState;
  /** When it entered its state, in milliseconds since 1970 by the server's clock. */
  readonly stateSince: number;
  /** The highest sequence number held; -1 for none. */
  readonly lastSequence: number;
  readonly frames: number;
  /** Of the first frame held; null for none. Absent in records of earlier versions. */
  readonly firstSequence?: number | null;
  /** Frames that the trainer said it had to drop. */
  readonly dropped: number;
  /** When the last frame arrived, in milliseconds since 1970 by the server's clock: trainers' clocks may be wrong. */
  readonly lastFrameAt: number | null;
  readonly step: number | null;
  readonly loss: number | null;
  readonly worst: Extreme | null;
  readonly peak: Extreme | null;
  readonly rules: RulesState;
}

export interface RunRecord {
  readonly id: string;
  readonly description: RunDescription;
  readonly progress: RunProgress;
}

const beginning: Omit<RunProgress, 'state' | 'stateSince'> = {
  lastSequence: -1,
  frames: 0,
  firstSequence: null,
  dropped: 0,
  lastFrameAt: null,
  step: null,
  loss: null,
  worst: null,
  peak: null,
  rules: {},
};

/**
 * The record after a trainer's hello: a new one, or the earlier one of that run id, which goes on.
 * @throws OutlierscopeError (`run-conflict`) when the hello contradicts what the run's stored frames are made of.
 */
export function afterHello(earlier: RunRecord | undefined, hello: Hello, now: number): RunRecord {
  const sites = mergeSites(earlier?.description.sites ?? [], hello.sites);
  const scalars = mergeScalars(earlier?.description.scalars ?? [], hello.scalars);
  if (earlier !== undefined && !sameNames(earlier.description.metrics, hello.metrics)) {
    throw conflict(
      `run ${hello.runId} was begun with metrics ${earlier.description.metrics.join(', ')}, not ${hello.metrics.join(', ')}`,
    );
  }
  const description: RunDescription = {
    name: hello.runName,
    startedAt: earlier?.description.startedAt ?? hello.startedAt,
    sites,
    metrics: hello.metrics,
    scalars,
    tags: hello.tags,
    config: hello.config,
  };
  return {
    id: hello.runId,
    description,
    progress: { ...(earlier?.progress ?? beginning), state: 'connected', stateSince: now },
  };
}

/** The record once the trainer's list of sites and scalars has grown to `declared`. @throws OutlierscopeError as `afterHello`. */
export function afterDeclare(record: RunRecord, declared: Pick<Hello, 'sites' | 'scalars'>): RunRecord {
  const { description } = record;
  const sites = mergeSites(description.sites, declared.sites);
  const scalars = mergeScalars(description.scalars, declared.scalars);
  return { ...record, description: { ...description, sites, scalars } };
}

/** The record once the trainer said goodbye. */
export function afterBye(record: RunRecord, bye: Bye, now: number): RunRecord {
  const dropped = Math.min(record.progress.dropped + bye.dropped, Number.MAX_SAFE_INTEGER);
  return { ...record, progress: { ...record.progress, state: bye.outcome, stateSince: now, dropped } };
}

/** The record once the trainer's connection is gone without a goodbye. */
export function afterSilence(record: RunRecord, now: number): RunRecord {
  if (record.progress.state !== 'connected') return record;
  return { ...record, progress: { ...record.progress, state: 'silent', stateSince: now } };
}

/** The record after a frame, and the alerts that began or ended with it; undefined when that sequence number is held already. */
export function afterFrame(
  record: RunRecord,
  frame: Frame,
  rules: readonly Rule[],
  now: number,
): { record: RunRecord; transitions: readonly Alert[] } | undefined {
  const { progress, description } = record;
  // A run's frames arrive in ascending order, so whatever is not above the last one was stored before, or dropped by the trainer.
  if (frame.sequence <= progress.lastSequence) return undefined;
  const evaluation = evaluateFrame(rules, record, frame);
  const worst = worstOf(record, frame);
  const loss = frame.scalars[description.scalars.indexOf('loss')];
  const next: RunProgress = {
    ...progress,
    lastSequence: frame.sequence,
    frames: progress.frames + 1,
    ...(progress.frames === 0 ? { firstSequence: frame.sequence } : {}),
    lastFrameAt: now,
    step: frame.step,
    loss: loss !== undefined && Number.isFinite(loss) ? loss : null,
    worst,
    peak: worst !== null && (progress.peak === null || worst.value > progress.peak.value) ? worst : progress.peak,
    rules: evaluation.state,
  };
  return { record: { ...record, progress: next }, transitions: evaluation.transitions };
}

function worstOf({ description: { metrics, sites } }: RunRecord, { values, step }: Frame): Extreme | null {
  const column = metrics.indexOf('kurtosis');
  if (column < 0) return null;
  let at = -1;
  let worst = Number.NEGATIVE_INFINITY;
  for (let index = column; index < values.length; index += metrics.length) {
    const value = values[index] as number;
    if (!(value > worst) || value === Number.POSITIVE_INFINITY) continue;
    worst = value;
    at = index;
  }
  if (at < 0) return null;
  return { metric: 'kurtosis', site: sites[(at - column) / metrics.length]?.name ?? '', value: worst, step };
}

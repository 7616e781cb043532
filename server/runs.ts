/** The live registry: every run's record, and the latest frame of those that /metrics shows. Changed by the writer, after commits only. */
import type { Frame } from '../src/frame.ts';
import { createPeaks, type Peaks } from './peaks.ts';
import { afterSilence, type RunRecord } from './run-record.ts';
import type { Store } from './store.ts';

/** A run as /metrics shows it. */
export interface LiveRun {
  readonly record: RunRecord;
  /** Undefined before the first frame. */
  readonly latest: Frame | undefined;
  /** Undefined before the first frame. */
  readonly peaks: Peaks | undefined;
}

export interface RunRegistry {
  get(id: string): RunRecord | undefined;
  /** Every run, the one that began last first. */
  newestFirst(): RunRecord[];
  /** Runs that are connected, or were within the grace time. Forgets the frames of the others. */
  exposed(): LiveRun[];
  /** Takes the record over, and its latest frame where there is a new one. */
  adopt(record: RunRecord, latest?: Frame): void;
  /** Takes every frame into the run's peaks; keeps nothing of it. */
  observe(record: RunRecord, frame: Frame): void;
  /** The run is deleted. */
  forget(id: string): void;
}

/**
 * The registry of a store's runs at the server's start. Runs that were connected when the earlier server ended are silent now,
 * in the store too.
 */
export async function restoreRuns(
  store: Store,
  graceMilliseconds: number,
  now: () => number,
  peakMilliseconds = defaultPeakMilliseconds,
): Promise<RunRegistry> {
  const stored = await store.runs();
  const records = stored.map((record) => afterSilence(record, now()));
  const changed = records.filter((record, index) => record !== stored[index]);
  if (changed.length > 0) await store.commit({ runs: changed, frames: [], alerts: [] });
  const registry = createRunRegistry(graceMilliseconds, now, peakMilliseconds);
  for (const record of records) registry.adopt(record);
  for (const { record } of registry.exposed()) {
    const latest = await store.latestFrame(record.id);
    if (latest === undefined) continue;
    registry.adopt(record, latest.frame);
    registry.observe(record, latest.frame);
  }
  return registry;
}

const defaultPeakMilliseconds = 60_000;

/** `peakMilliseconds`: the window whose largest kurtosis is kept. */
export function createRunRegistry(
  graceMilliseconds: number,
  now: () => number,
  peakMilliseconds = defaultPeakMilliseconds,
): RunRegistry {
  const runs = new Map<string, LiveRun>();
  const isExposed = ({ progress }: RunRecord): boolean =>
    progress.state === 'connected' || now() - progress.stateSince < graceMilliseconds;
  return {
    get: (id) => runs.get(id)?.record,
    newestFirst: () => [...runs.values()].map((run) => run.record).reverse(),
    exposed() {
      const exposed: LiveRun[] = [];
      for (const run of runs.values()) {
        if (isExposed(run.record)) exposed.push(run);
        else if (run.latest !== undefined)
          runs.set(run.record.id, { record: run.record, latest: undefined, peaks: undefined });
      }
      return exposed;
    },
    adopt(record, latest) {
      const known = runs.get(record.id);
      runs.set(record.id, { record, latest: latest ?? known?.latest, peaks: known?.peaks });
    },
    observe(record, frame) {
      const known = runs.get(record.id);
      if (known === undefined) return;
      const peaks = known.peaks ?? createPeaks(peakMilliseconds);
      peaks.observe(record.description, frame, record.progress.lastFrameAt ?? now());
      if (known.peaks === undefined) runs.set(record.id, { ...known, peaks });
    },
    forget(id) {
      runs.delete(id);
    },
  };
}

/** The rules on a stored run's frames: adapts records and frames to the shared rule engine of src/rules.ts. Pure. */
import type { Frame } from '../src/frame.ts';
import { type Evaluation, evaluateRules, type Largest, type Rule } from '../src/rules.ts';
import type { RunRecord } from './run-record.ts';

/** Evaluates every rule on a frame of a run, from where the run's rules stand. */
export function evaluateFrame(
  rules: readonly Rule[],
  { id, description, progress }: RunRecord,
  frame: Frame,
): Evaluation {
  const { metrics, sites } = description;
  const largest = (metric: string): Largest | undefined => {
    const column = metrics.indexOf(metric);
    const found = column < 0 ? undefined : largestOf(frame.values, column, metrics.length);
    return found === undefined ? undefined : { ...found, value: finite(found.value) };
  };
  return evaluateRules(rules, { runId: id, step: frame.step, time: frame.time, sites, largest }, progress.rules);
}

/** The largest number of a column of a frame's matrix, and its row; the first among equals. Runs for every frame: no allocation on the way. */
function largestOf(values: Float32Array, column: number, metrics: number): Largest | undefined {
  let at = -1;
  let largest = Number.NaN;
  for (let index = column; index < values.length; index += metrics) {
    const value = values[index] as number;
    if (value <= largest || Number.isNaN(value)) continue;
    largest = value;
    at = index;
  }
  return at < 0 ? undefined : { site: (at - column) / metrics, value: largest };
}

/** Alerts travel and rest as JSON, which has no infinity: the largest number stands for it. */
function finite(value: number): number {
  return Math.max(-Number.MAX_VALUE, Math.min(Number.MAX_VALUE, value));
}

/** The rules on a stored run's frames: adapts records and frames to the shared rule engine of src/rules.ts. Pure. */
import type { Frame } from '../src/frame.ts';
import { type Evaluation, evaluateRules, type Rule } from '../src/rules.ts';
import type { RunRecord } from './run-record.ts';

/** Evaluates every rule on a frame of a run, from where the run's rules stand. */
export function evaluateFrame(
  rules: readonly Rule[],
  { id, description, progress }: RunRecord,
  frame: Frame,
): Evaluation {
  const { metrics, sites } = description;
  const columns = new Map(metrics.map((metric, column) => [metric, column]));
  const value = (metric: string, site: number): number => {
    const column = columns.get(metric);
    const measured = column === undefined ? undefined : frame.values[site * metrics.length + column];
    return measured === undefined ? Number.NaN : finite(measured);
  };
  return evaluateRules(rules, { runId: id, step: frame.step, time: frame.time, sites, value }, progress.rules);
}

/** Alerts travel and rest as JSON, which has no infinity: the largest number stands for it. NaN stays "not measured". */
function finite(value: number): number {
  return Number.isNaN(value) ? value : Math.max(-Number.MAX_VALUE, Math.min(Number.MAX_VALUE, value));
}

/**
 * Alert rules and their evaluation: pure functions of frames, state and time, so that the server, the plugin and a replay
 * of a stored run come to the same alerts. State is plain data and survives a restart as JSON.
 */
import type { Alert, Site } from './messages.ts';

export type Severity = 'info' | 'warning' | 'critical';

/** Fires for a run when `metric` at any site stays above a threshold for a number of sampled frames. */
export interface Rule {
  readonly name: string;
  readonly severity: Severity;
  readonly metric: string;
  /** Fires at values above this. */
  readonly above: number;
  /** Resolves at values below this: at most `above`, and better less, so that a value on the line does not flap. */
  readonly resolveBelow: number;
  /** Consecutive sampled frames above (or, to resolve, below). */
  readonly frames: number;
  readonly why: string;
  readonly next: string;
}

/** The rules that apply unless the user gives others. */
export const defaultRules: readonly Rule[] = [
  {
    name: 'KurtosisHigh',
    severity: 'warning',
    metric: 'kurtosis',
    // Healthy runs of a Pre-Norm GPT of width 128 stay below 2.5, their start included; docs/rules.md has the figures.
    above: 3,
    resolveBelow: 2.5,
    frames: 2,
    why: 'A few neurons carry most of the energy of the layer: outlier features. They stretch the grid of int8 quantisation for all other neurons.',
    next: 'Lower the learning rate or lengthen its warm-up; raise the epsilon of Adam (1e-4 instead of 1e-8); consider Outlier Protected blocks.',
  },
];

/** What a rule sees of a frame. */
export interface Observation {
  readonly runId: string;
  readonly step: number;
  readonly time: number;
  readonly sites: readonly Site[];
  /** The site of the largest value of a metric, by its index, and that value; undefined where none was measured. */
  readonly largest: (metric: string) => Largest | undefined;
}

export interface Largest {
  readonly site: number;
  readonly value: number;
}

/** Where one rule stands for one run. */
export interface RuleState {
  readonly above: number;
  readonly below: number;
  readonly alert: Alert | null;
}

/** By rule name. */
export type RulesState = Readonly<Record<string, RuleState>>;

export interface Evaluation {
  readonly state: RulesState;
  /** Alerts that began or ended with this frame. */
  readonly transitions: readonly Alert[];
}

const quiet: RuleState = { above: 0, below: 0, alert: null };

/** Evaluates every rule on one frame. A frame that did not measure a rule's metric leaves that rule's state as it is. */
export function evaluateRules(rules: readonly Rule[], observation: Observation, state: RulesState): Evaluation {
  const next: Record<string, RuleState> = {};
  const transitions: Alert[] = [];
  for (const rule of rules) {
    const before = state[rule.name] ?? quiet;
    const worst = observation.largest(rule.metric);
    const after = worst === undefined ? before : step(rule, before, worst, observation);
    next[rule.name] = after;
    if (after.alert !== null && before.alert === null) transitions.push(after.alert);
    if (after.alert === null && before.alert !== null && worst !== undefined) {
      transitions.push({
        ...before.alert,
        state: 'resolved',
        value: worst.value,
        step: observation.step,
        endedAt: observation.time,
      });
    }
  }
  // What fired by a rule that is no more would fire for ever.
  for (const [name, { alert }] of Object.entries(state)) {
    if (alert === null || next[name] !== undefined) continue;
    transitions.push({ ...alert, state: 'resolved', step: observation.step, endedAt: observation.time });
  }
  return { state: next, transitions };
}

function step(rule: Rule, before: RuleState, worst: Largest, { runId, step, time, sites }: Observation): RuleState {
  const above = worst.value > rule.above ? before.above + 1 : 0;
  const below = worst.value < rule.resolveBelow ? before.below + 1 : 0;
  if (before.alert === null && above >= rule.frames) {
    const site = sites[worst.site]?.name ?? '';
    const alert: Alert = {
      type: 'alert',
      id: `${runId}/${rule.name}/${step}`,
      state: 'firing',
      rule: rule.name,
      severity: rule.severity,
      runId,
      metric: rule.metric,
      site,
      value: worst.value,
      step,
      startedAt: time,
      startedStep: step,
      endedAt: null,
      summary: `${rule.metric} is ${worst.value.toPrecision(3)} at ${site}, above ${rule.above} for ${rule.frames} sampled steps`,
      why: rule.why,
      next: rule.next,
    };
    return { above, below: 0, alert };
  }
  return { above, below, alert: below >= rule.frames ? null : before.alert };
}

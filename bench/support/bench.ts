/** What a benchmark is, and what it gives. */
import type { Interval } from './statistics.ts';

/** What a figure must reach. */
export type Requirement =
  | { readonly figure: string; readonly must: 'at most' | 'at least'; readonly limit: number }
  /** Less than another figure of the same run. */
  | { readonly figure: string; readonly must: 'below'; readonly other: string };

export interface Bench {
  /** As it is called on the command line. */
  readonly name: string;
  readonly description: string;
  readonly requirements: readonly Requirement[];
  run(setting: Setting): Promise<Result>;
}

export interface Setting {
  /** `quick` shows that the benchmark works; its figures mean little. */
  readonly length: 'full' | 'quick';
  /** Takes a line for those who wait. */
  readonly progress: (line: string) => void;
}

export interface Result {
  /** Numbers by name, those that requirements speak of first. */
  readonly figures: Readonly<Record<string, number>>;
  /** 95 % confidence intervals of figures. */
  readonly intervals: Readonly<Record<string, Interval>>;
  /** How it was measured and what it is made of, by name; the unit is in the name. */
  readonly details: Readonly<Record<string, number | string>>;
}

/** Whether a figure reaches what it must. A figure that is missing or NaN does not. */
export function isMet(requirement: Requirement, figures: Result['figures']): boolean {
  const value = figures[requirement.figure] ?? Number.NaN;
  if (requirement.must === 'below') return value < (figures[requirement.other] ?? Number.NaN);
  return requirement.must === 'at most' ? value <= requirement.limit : value >= requirement.limit;
}

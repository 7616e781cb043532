/** Workers of one job: runs with the same tag `group`, told apart by their tag `rank`. */
import type { RunRecord, RunState } from './run-record.ts';
import { type RunSummary, toRunSummary } from './views.ts';

export function groupOf({ description: { tags } }: RunRecord): string | undefined {
  return tags['group'] === '' ? undefined : tags['group'];
}

export function rankOf({ description: { tags } }: RunRecord): string | null {
  return tags['rank'] ?? null;
}

/** Which runs are of a group, without going through all runs. */
export interface GroupIndex {
  /** That whose first run began last first. */
  newestFirst(): string[];
  /** Ids, in the order in which the runs began. */
  runsOf(group: string): readonly string[];
  adopt(record: RunRecord): void;
  forget(runId: string): void;
}

export function createGroupIndex(records: Iterable<RunRecord>): GroupIndex {
  const groups = new Map<string, Set<string>>();
  const groupOfRun = new Map<string, string>();

  function forget(runId: string): void {
    const group = groupOfRun.get(runId);
    if (group === undefined) return;
    groupOfRun.delete(runId);
    const runs = groups.get(group);
    runs?.delete(runId);
    if (runs?.size === 0) groups.delete(group);
  }

  function adopt(record: RunRecord): void {
    const group = groupOf(record);
    if (groupOfRun.get(record.id) === group) return;
    forget(record.id); // a later hello may have other tags
    if (group === undefined) return;
    groupOfRun.set(record.id, group);
    const runs = groups.get(group) ?? new Set();
    groups.set(group, runs.add(record.id));
  }

  for (const record of records) adopt(record);
  return {
    newestFirst: () => [...groups.keys()].reverse(),
    runsOf: (group) => [...(groups.get(group) ?? [])],
    adopt,
    forget,
  };
}

/** Ranks are numbers as a rule, so 10 comes after 9; what has none comes last. */
export function byRank(one: RunRecord, other: RunRecord): number {
  const [rank, otherRank] = [rankOf(one), rankOf(other)];
  if (rank === null || otherRank === null) return Number(rank === null) - Number(otherRank === null);
  return Number(rank) - Number(otherRank) || (rank < otherRank ? -1 : Number(rank > otherRank));
}

export interface GroupSummary {
  readonly name: string;
  readonly runs: number;
  /** How many are in each state. */
  readonly states: Readonly<Record<RunState, number>>;
  readonly startedAt: number;
  readonly lastFrameAt: number | null;
  /** Of the rank that is behind, and of the one ahead. */
  readonly lowestStep: number | null;
  readonly highestStep: number | null;
  readonly frames: number;
  readonly dropped: number;
  readonly worst: (NonNullable<RunSummary['worst']> & { readonly run: string; readonly rank: string | null }) | null;
  /** Rules that fire for at least one rank. */
  readonly firing: number;
}

/** @param members At least one. */
export function toGroupSummary(name: string, members: readonly RunRecord[]): GroupSummary {
  const states: Record<RunState, number> = { connected: 0, silent: 0, finished: 0, failed: 0 };
  const firing = new Set<string>();
  let worst: GroupSummary['worst'] = null;
  for (const record of members) {
    const { progress } = record;
    states[progress.state] += 1;
    for (const [rule, { alert }] of Object.entries(progress.rules)) if (alert !== null) firing.add(rule);
    if (progress.worst !== null && (worst === null || progress.worst.value > worst.value))
      worst = { ...progress.worst, run: record.id, rank: rankOf(record) };
  }
  const progress = members.map((record) => record.progress);
  const steps = present(progress.map(({ step }) => step));
  const times = present(progress.map(({ lastFrameAt }) => lastFrameAt));
  return {
    name,
    runs: members.length,
    states,
    startedAt: lowestOf(members.map(({ description }) => description.startedAt)) as number,
    lastFrameAt: highestOf(times),
    lowestStep: lowestOf(steps),
    highestStep: highestOf(steps),
    frames: progress.reduce((sum, { frames }) => sum + frames, 0),
    dropped: progress.reduce((sum, { dropped }) => sum + dropped, 0),
    worst,
    firing: firing.size,
  };
}

export type RankSummary = RunSummary & { readonly rank: string | null };

export function toRankSummary(record: RunRecord): RankSummary {
  return { ...toRunSummary(record), rank: rankOf(record) };
}

function present(values: readonly (number | null)[]): number[] {
  return values.filter((value) => value !== null);
}

function lowestOf(values: readonly number[]): number | null {
  return values.length === 0 ? null : values.reduce((one, other) => Math.min(one, other));
}

function highestOf(values: readonly number[]): number | null {
  return values.length === 0 ? null : values.reduce((one, other) => Math.max(one, other));
}

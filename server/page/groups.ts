/** What the list of runs shows: runs, and groups of runs that are workers of one job. Pure. */
import type { RunSummary } from './types.ts';

export type Entry =
  | { readonly kind: 'run'; readonly run: RunSummary }
  /** At least two runs, by rank. */
  | { readonly kind: 'group'; readonly name: string; readonly runs: readonly RunSummary[] };

/** Runs with the same tag `group` as one entry, in the place of the first of them. */
export function entriesOf(runs: readonly RunSummary[]): Entry[] {
  const groups = new Map<string, RunSummary[]>();
  for (const run of runs) {
    const name = run.tags['group'] ?? '';
    if (name !== '') groups.set(name, [...(groups.get(name) ?? []), run]);
  }
  const entries: Entry[] = [];
  for (const run of runs) {
    const name = run.tags['group'] ?? '';
    const members = groups.get(name) ?? [];
    if (members.length < 2) entries.push({ kind: 'run', run });
    else if (members[0] === run) entries.push({ kind: 'group', name, runs: members.toSorted(byRank) });
  }
  return entries;
}

/** Ranks are numbers as a rule. */
function byRank(one: RunSummary, other: RunSummary): number {
  return (one.tags['rank'] ?? '').localeCompare(other.tags['rank'] ?? '', 'en', { numeric: true });
}

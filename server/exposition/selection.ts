/**
 * Which series a scrape shows: what was asked for, and of that what the limits allow. Pure.
 *
 * Limits go by the series that a run may have, measured or not, so they leave out the same ones every time: of a run that has too many
 * the last in the order of families and sites (the catalogue's cheapest metrics come first), and of too many runs whole ones, those that
 * began last.
 */
import type { Rule } from '../../src/rules.ts';
import type { LiveRun } from '../runs.ts';
import type { Family } from './families.ts';

export interface SeriesLimits {
  /** Of a run. */
  readonly runSeries: number;
  /** Of all runs. */
  readonly scrapeSeries: number;
}

export interface Selection {
  readonly families: readonly Family[];
  readonly shares: readonly Share[];
  /** Series that a limit left out. */
  readonly leftOut: Readonly<Record<'run' | 'scrape', number>>;
}

export interface Share {
  readonly run: LiveRun;
  /** Most series of each family; undefined for all that there are. */
  readonly most: readonly number[] | undefined;
}

/** `runs` in the order in which they began. */
export function selectSeries(
  runs: readonly LiveRun[],
  families: readonly Family[],
  rules: readonly Rule[],
  { runSeries, scrapeSeries }: SeriesLimits,
): Selection {
  const shares: Share[] = [];
  const leftOut = { run: 0, scrape: 0 };
  let room = scrapeSeries;
  for (const run of runs) {
    const counts = families.map(({ series }) => series(run.record.description, rules));
    const all = counts.reduce((sum, count) => sum + count, 0);
    const taken = Math.min(all, runSeries);
    if (taken > room) {
      // Smaller runs that began later are left out too: else a run's series would come and go with its neighbours' sizes.
      room = 0;
      leftOut.scrape += taken;
      continue;
    }
    room -= taken;
    leftOut.run += all - taken;
    shares.push({ run, most: taken === all ? undefined : firstOf(counts, taken) });
  }
  return { families, shares, leftOut };
}

/** The counts as far as their sum stays within `total`. */
function firstOf(counts: readonly number[], total: number): number[] {
  let left = total;
  return counts.map((count) => {
    const taken = Math.min(count, left);
    left -= taken;
    return taken;
  });
}

/** Prepared series of the runs that were sent last, in bounded memory: preparing those of a run again takes about as long as sending a frame. */
import { prepareSeries, type RunSeries } from './series.ts';
import type { Source } from './source.ts';

const mostBytes = 64 * 1024 * 1024;

export interface SeriesCache {
  /** Undefined for a run that is not in the store. */
  get(id: string): RunSeries | undefined;
  /** The same, by what the store says now. */
  renew(id: string): RunSeries | undefined;
  forget(id: string): void;
}

export function createSeriesCache(
  source: Pick<Source, 'description'>,
  externalLabels: Readonly<Record<string, string>>,
): SeriesCache {
  /** Used last, last. */
  const known = new Map<string, RunSeries>();
  let bytes = 0;

  function forget(id: string): void {
    bytes -= known.get(id)?.size ?? 0;
    known.delete(id);
  }

  function keep(id: string, series: RunSeries): void {
    known.set(id, series);
    bytes += series.size;
    for (const oldest of known.keys()) {
      if (bytes <= mostBytes || oldest === id) break;
      forget(oldest);
    }
  }

  function renew(id: string): RunSeries | undefined {
    forget(id);
    const description = source.description(id);
    if (description === undefined) return undefined;
    const series = prepareSeries({ id, description }, externalLabels);
    keep(id, series);
    return series;
  }

  return {
    get(id) {
      const series = known.get(id);
      if (series === undefined) return renew(id);
      forget(id);
      keep(id, series);
      return series;
    },
    renew,
    forget,
  };
}

/** Reads each listed run's kurtosis once, coarsely, for the small lines of the runs list; live frames extend them from there. */
import { AnswerError, api } from './api.ts';
import { isWorse, toValue } from './series.ts';
import type { Store } from './state.ts';
import type { SeriesAnswer, Value } from './types.ts';

const mostRuns = 20;
const points = 60;

export function readSparklines(store: Store): void {
  let isReading = false;

  async function readMissing(): Promise<void> {
    isReading = true;
    for (const { id } of (store.get().runs ?? []).slice(0, mostRuns)) {
      if (store.get().sparklines.has(id)) continue;
      const line = await api.series(id, 'kurtosis', undefined, points).then(worstBySteps, withoutLine);
      if (line === undefined) break; // the server is gone: the next list of runs tries again
      store.set({ sparklines: new Map(store.get().sparklines).set(id, line) });
    }
    isReading = false;
  }

  store.subscribe(({ runs }, changes) => {
    if (changes.has('runs') && runs !== undefined && !isReading) void readMissing();
  });
}

/** A run that does not measure kurtosis has an empty line. */
function withoutLine(error: unknown): Value[] | undefined {
  return error instanceof AnswerError ? [] : undefined;
}

function worstBySteps({ steps, values }: SeriesAnswer): Value[] {
  return steps.map((_, index) => {
    let worst: Value = null;
    for (const row of values) {
      const value = toValue(row[index]);
      if (isWorse(value, worst, 'higher')) worst = value;
    }
    return worst;
  });
}

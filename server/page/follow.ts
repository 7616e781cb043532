/** Follows one run: reads it, extends it by live frames, and says when these leave a gap that only another reading fills. */
import { type Clock, pace } from './pace.ts';
import { admit, toSeries, withFrame } from './series.ts';
import type { Store } from './state.ts';
import type { Alert, FrameView, RunDetail, SeriesAnswer, StepRange } from './types.ts';

/** Past this many steps the series is read again, thinned by the server. */
const mostSteps = 3_000;

/** Where a run is read: the API. */
export interface RunSource {
  run(id: string): Promise<RunDetail>;
  series(id: string, metric: string, range: StepRange | undefined): Promise<SeriesAnswer>;
  alerts(id: string): Promise<readonly Alert[]>;
}

export interface Follower {
  /** Reads a run with the chosen metric and range. What arrives meanwhile waits. */
  read(id: string): Promise<void>;
  /** Drops what is on its way: another run is selected. */
  forget(): void;
  frame(frame: FrameView): void;
  alert(alert: Alert): void;
}

export function createFollower(store: Store, source: RunSource, clock: Clock, onGap: () => void): Follower {
  let lastSequence = -1;
  /** Counts readings, so that an answer that comes after a newer question is dropped. */
  let generation = 0;
  let isReading = false;
  let frames: FrameView[] = [];
  let alerts: Alert[] = [];

  async function read(id: string): Promise<void> {
    const own = ++generation;
    isReading = true;
    alerts = [];
    try {
      // The run first: what follows its latest frame is in the series or among the frames that arrive meanwhile.
      const run = await source.run(id);
      const known = store.get().metric;
      const metric = run.metrics.includes(known) ? known : (run.metrics[0] ?? known);
      const [series, past] = await Promise.all([source.series(id, metric, store.get().range), source.alerts(id)]);
      if (own !== generation) return;
      lastSequence = run.latest?.sequence ?? -1;
      // A frame that came after the run was read, and before the series was, is in the series already.
      const newer = frames.findLast(({ step }) => step <= (series.steps.at(-1) ?? -1));
      const latest = newer !== undefined && newer.sequence > lastSequence ? newer : (run.latest ?? undefined);
      const listed = store.get().runs?.find((each) => each.id === id && each.frames > run.frames);
      store.set({
        run: { ...run, ...listed },
        metric,
        series: toSeries(series),
        alerts: past,
        latest,
        problem: undefined,
      });
      for (const alert of alerts) show(alert);
      const lastRead = series.steps.at(-1) ?? -1;
      const waiting = frames;
      frames = waiting.filter(({ step }) => step > lastRead);
      for (const { sequence, step } of waiting) if (step <= lastRead) lastSequence = Math.max(lastSequence, sequence);
    } finally {
      if (own === generation) {
        isReading = false;
        if (frames.length > 0) takeSoon();
      }
    }
  }

  const takeSoon = pace(() => {
    while (!isReading && frames.length > 0) take(frames.shift() as FrameView);
  }, clock);

  function take(frame: FrameView): void {
    const { series, range } = store.get();
    const admission = admit(lastSequence, frame.sequence);
    if (admission === 'duplicate' || series === undefined) return;
    const extended = range === undefined || frame.step <= range.to ? withFrame(series, frame) : series;
    if (admission === 'gap' || extended === undefined || extended.steps.length > mostSteps) {
      onGap();
    } else {
      lastSequence = frame.sequence;
      store.set({ series: extended, latest: frame });
    }
  }

  function show(alert: Alert): void {
    store.set({ alerts: [alert, ...store.get().alerts.filter(({ id }) => id !== alert.id)] });
  }

  return {
    read,
    forget() {
      generation++;
      isReading = false;
      frames = [];
      alerts = [];
    },
    frame(frame) {
      frames.push(frame);
      if (!isReading) takeSoon();
    },
    alert(alert) {
      alerts.push(alert);
      show(alert);
    },
  };
}

import { beforeEach, describe, expect, test } from 'vitest';
import { createFollower, type Follower, type RunSource } from '../../../server/page/follow.ts';
import { type Clock, pace } from '../../../server/page/pace.ts';
import { createStore, initialState, type Store } from '../../../server/page/state.ts';
import type { Alert, FrameView, RunDetail, SeriesAnswer } from '../../../server/page/types.ts';

const frame = (sequence: number, step = sequence * 10): FrameView => ({
  sequence,
  step,
  time: step,
  scalars: { loss: 1 },
  values: { kurtosis: [sequence] },
  topNeurons: [],
});

const alert = (id: string, state: Alert['state']): Alert => ({
  type: 'alert',
  id,
  state,
  rule: 'KurtosisHigh',
  severity: 'warning',
  runId: 'run-1',
  metric: 'kurtosis',
  site: 'a',
  value: 5,
  step: 10,
  startedAt: 0,
  startedStep: 10,
  endedAt: null,
  summary: '',
  why: '',
  next: '',
});

/** A server that holds frames 0 to `stored`; its answers wait for `answer`. */
function fakeSource(): RunSource & {
  stored: number;
  alertsStored: Alert[];
  answer: () => void;
  onRunAnswered: () => void;
} {
  let release: () => void = () => {};
  const gate = new Promise<void>((resolve) => {
    release = resolve;
  });
  const source = {
    stored: 2,
    alertsStored: [] as Alert[],
    onRunAnswered: () => {},
    answer: () => release(),
    async run() {
      const run = { metrics: ['kurtosis'], latest: frame(source.stored) } as unknown as RunDetail;
      source.onRunAnswered();
      return run;
    },
    async series(): Promise<SeriesAnswer> {
      const steps = Array.from({ length: source.stored + 1 }, (_, index) => index * 10);
      await gate;
      return {
        metric: 'kurtosis',
        steps,
        times: steps,
        sites: ['a'],
        values: [steps.map((step) => step / 10)],
        scalars: { loss: steps },
      };
    },
    async alerts() {
      const { alertsStored } = source;
      await gate;
      return alertsStored;
    },
  };
  return source;
}

/** Everything is painted at once. */
const idle: Clock = { now: () => 0, after: (_, callback) => callback(), painted: (callback) => callback() };

describe('following a run', () => {
  let store: Store;
  let source: ReturnType<typeof fakeSource>;
  let follower: Follower;
  let gaps: number;
  const steps = (): readonly number[] | undefined => store.get().series?.steps;

  beforeEach(() => {
    store = createStore(initialState, () => {});
    source = fakeSource();
    gaps = 0;
    follower = createFollower(store, source, idle, () => {
      gaps += 1;
    });
  });

  async function readAll(): Promise<void> {
    source.answer();
    await follower.read('run-1');
  }

  test('live frames go at the end of what was read, each once', async () => {
    await readAll();
    follower.frame(frame(2));
    follower.frame(frame(3));
    follower.frame(frame(3));
    expect(steps()).toEqual([0, 10, 20, 30]);
    expect(store.get().latest?.sequence).toBe(3);
    expect(gaps).toBe(0);
  });

  test('a missing frame is a gap, and nothing is drawn across it', async () => {
    await readAll();
    follower.frame(frame(4));
    expect(gaps).toBe(1);
    expect(steps()).toEqual([0, 10, 20]);
  });

  test('a trainer that went back to an earlier step has its run read again', async () => {
    await readAll();
    follower.frame(frame(3, 5));
    expect(gaps).toBe(1);
  });

  test('frames that arrive while the run is read come after it', async () => {
    const reading = follower.read('run-1');
    follower.frame(frame(3));
    follower.frame(frame(4));
    expect(steps()).toBeUndefined();
    source.answer();
    await reading;
    expect(steps()).toEqual([0, 10, 20, 30, 40]);
    expect(gaps).toBe(0);
  });

  test('frames stored between the answers of one reading are no gap, and no double', async () => {
    source.onRunAnswered = () => {
      source.stored = 4;
    };
    const reading = follower.read('run-1');
    follower.frame(frame(3));
    follower.frame(frame(4));
    follower.frame(frame(5));
    source.answer();
    await reading;
    expect(steps()).toEqual([0, 10, 20, 30, 40, 50]);
    expect(gaps).toBe(0);
  });

  test('an alert that changes while the run is read is not overwritten by the older answer', async () => {
    source.alertsStored = [alert('1', 'firing')];
    const reading = follower.read('run-1');
    await Promise.resolve();
    follower.alert(alert('1', 'resolved'));
    follower.alert(alert('2', 'firing'));
    source.answer();
    await reading;
    expect(store.get().alerts.map(({ id, state }) => `${id} ${state}`)).toEqual(['2 firing', '1 resolved']);
  });

  test('an answer for a run that is not selected any more is dropped', async () => {
    const reading = follower.read('run-1');
    follower.forget();
    source.answer();
    await reading;
    expect(steps()).toBeUndefined();
  });
});

describe('pace', () => {
  function timeline(cost: number): { runs: number[]; at: (time: number) => void; ask: () => void } {
    let now = 0;
    const timers: { at: number; callback: () => void }[] = [];
    const runs: number[] = [];
    const after = (milliseconds: number, callback: () => void): void =>
      void timers.push({ at: now + milliseconds, callback });
    const ask = pace(() => runs.push(now), { now: () => now, after, painted: (callback) => after(cost, callback) });
    const at = (time: number): void => {
      for (;;) {
        const due = timers.filter((timer) => timer.at <= time).sort((a, b) => a.at - b.at)[0];
        if (due === undefined) break;
        timers.splice(timers.indexOf(due), 1);
        now = due.at;
        due.callback();
      }
      now = time;
    };
    return { runs, at, ask };
  }

  test('cheap work runs whenever it is asked for', () => {
    const { runs, at, ask } = timeline(33);
    for (let time = 0; time < 500; time += 100) {
      at(time);
      ask();
    }
    expect(runs).toEqual([0, 100, 200, 300, 400]);
  });

  test('costly work leaves three times its cost to everything else, and the last request is not lost', () => {
    const { runs, at, ask } = timeline(150);
    for (let time = 0; time < 1000; time += 100) {
      at(time);
      ask();
    }
    at(5000);
    // Painted 150 ms after its start, of which 50 are free: 300 ms of rest.
    expect(runs.slice(1).every((time, index) => time - (runs[index] as number) >= 400)).toBe(true);
    expect(runs.at(-1)).toBeGreaterThanOrEqual(900);
  });
});

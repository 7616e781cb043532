import { describe, expect, test } from 'vitest';
import { backoff } from '../../../server/page/backoff.ts';
import { parseHash, toHash } from '../../../server/page/location-hash.ts';
import { createStore, initialState, type PageState } from '../../../server/page/state.ts';

describe('reconnecting', () => {
  test('waits twice as long after every failure, up to ten seconds', () => {
    expect([0, 1, 2, 3, 4, 5, 1000].map((failures) => backoff(failures, 0))).toEqual([
      500, 1000, 2000, 4000, 8000, 10_000, 10_000,
    ]);
  });

  test('spreads viewers out by up to a quarter', () => {
    expect(backoff(1, 1)).toBe(750);
    expect(backoff(1, 0.5)).toBe(875);
  });
});

describe('the address', () => {
  test('carries run and metric there and back', () => {
    const place = { run: 'a b&c=#1', metric: 'rms' };
    expect(parseHash(toHash(place))).toEqual(place);
  });

  test('leaves out what is usual', () => {
    expect(toHash({ run: 'x', metric: 'kurtosis' })).toBe('#run=x');
    expect(parseHash('')).toEqual({ run: undefined, metric: undefined });
  });
});

describe('the store', () => {
  test('tells views once a screen frame what has changed since the last one', () => {
    const scheduled: (() => void)[] = [];
    const seen: [string[], string][] = [];
    const store = createStore(initialState, (callback) => scheduled.push(callback));
    store.subscribe(({ metric }, changes) => seen.push([[...changes], metric]));
    scheduled.shift()?.();
    expect(seen.shift()?.[0]).toEqual(Object.keys(initialState) satisfies string[] as (keyof PageState)[]);

    store.set({ metric: 'rms' });
    store.set({ metric: 'absmax', pinned: 5 });
    store.set({ pinned: 5 });
    expect(scheduled).toHaveLength(1);
    scheduled.shift()?.();
    expect(seen).toEqual([[['metric', 'pinned'], 'absmax']]);

    store.set({ metric: 'absmax' });
    expect(scheduled).toHaveLength(0);
  });
});

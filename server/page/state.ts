/** The page's state: one plain object, changed by patches, seen by views at most once a screen frame. */
import type { Series } from './series.ts';
import type { Alert, FrameView, RunDetail, RunSummary, StepRange, Value } from './types.ts';

export type Connection =
  | { readonly kind: 'connecting' }
  | { readonly kind: 'live' }
  /** Disconnected; `retryAt` is by this browser's clock. */
  | { readonly kind: 'waiting'; readonly retryAt: number }
  /** Nobody is signed in; `problem` is what the server said to the last try. */
  | { readonly kind: 'unauthorised'; readonly problem: string };

/** Where the reader points: shared by the heatmap and the charts. */
export interface Cursor {
  readonly step: number;
  /** Index of the site, null when only the step is pointed at. */
  readonly site: number | null;
  readonly source: 'heatmap' | 'metric-chart' | 'training-chart';
}

export interface PageState {
  readonly connection: Connection;
  /** The name of the token that the reader signed in with; undefined where there is nothing to sign out of. */
  readonly signedInAs: string | undefined;
  /** What the server answered instead of what was asked for. */
  readonly problem: string | undefined;
  /** Newest first; undefined until the server has answered. */
  readonly runs: readonly RunSummary[] | undefined;
  /** How many runs the server has of those that are searched for, and how many of them are listed at most. */
  readonly runsTotal: number;
  readonly runsListed: number;
  /** Part of a run's name or id; empty for all. */
  readonly search: string;
  readonly selected: string | undefined;
  readonly run: RunDetail | undefined;
  readonly metric: string;
  /** Steps that the reader zoomed into; undefined for the whole run, which follows the training. */
  readonly range: StepRange | undefined;
  readonly series: Series | undefined;
  /** Of the selected run, newest first. */
  readonly alerts: readonly Alert[];
  readonly latest: FrameView | undefined;
  readonly cursor: Cursor | undefined;
  /** A step that the reader holds on to while the pointer moves on. */
  readonly pinned: number | undefined;
  /** The frame of the pointed-at or pinned step, once it is here. */
  readonly inspected: FrameView | undefined;
  /** Kurtosis of the worst site over the run, by run id, for the list. */
  readonly sparklines: ReadonlyMap<string, readonly Value[]>;
}

export const initialState: PageState = {
  connection: { kind: 'connecting' },
  signedInAs: undefined,
  problem: undefined,
  runs: undefined,
  runsTotal: 0,
  runsListed: 100,
  search: '',
  selected: undefined,
  run: undefined,
  metric: 'kurtosis',
  range: undefined,
  series: undefined,
  alerts: [],
  latest: undefined,
  cursor: undefined,
  pinned: undefined,
  inspected: undefined,
  sparklines: new Map(),
};

/** Which fields changed since a view was last updated. */
export type Changes = ReadonlySet<keyof PageState>;
export type View = (state: PageState, changes: Changes) => void;

export interface Store {
  get(): PageState;
  set(patch: Partial<PageState>): void;
  /** Calls a view soon, and once in every screen frame in which something changed. */
  subscribe(view: View): void;
}

/** `schedule` runs a callback before the next repaint: requestAnimationFrame in a browser. */
export function createStore(initial: PageState, schedule: (callback: () => void) => void): Store {
  const views: View[] = [];
  let state = initial;
  let changes = new Set<keyof PageState>();
  let scheduled = false;

  function flush(): void {
    scheduled = false;
    const seen = changes;
    changes = new Set();
    for (const view of views) view(state, seen);
  }

  function changed(keys: Iterable<keyof PageState>): void {
    for (const key of keys) changes.add(key);
    if (scheduled || changes.size === 0) return;
    scheduled = true;
    schedule(flush);
  }

  return {
    get: () => state,
    set(patch) {
      const keys = (Object.keys(patch) as (keyof PageState)[]).filter((key) => !Object.is(state[key], patch[key]));
      state = { ...state, ...patch };
      changed(keys);
    },
    subscribe(view) {
      views.push(view);
      changed(Object.keys(state) as (keyof PageState)[]);
    },
  };
}

/** Keeps the state true to the server: the list of runs, the selected run, the live connection, the page's address. */
import { AnswerError, api, mostRuns, UnauthorisedError } from './api.ts';
import { createFollower } from './follow.ts';
import { type Live, openLive } from './live.ts';
import { parseHash, toHash } from './location-hash.ts';
import { screenClock } from './screen-clock.ts';
import { toValue } from './series.ts';
import { initialState, type Store } from './state.ts';
import type { LiveMessage, RunSummary, StepRange } from './types.ts';

/** Runs other than the selected one send no frames here; the list is read again this often. */
const runsEveryMs = 5_000;
/** Until the socket says something, the page waits this long before it reads without it. */
const socketPatienceMs = 2_000;

export interface Controller {
  start(): void;
  selectMetric(metric: string): void;
  zoom(range: StepRange | undefined): void;
  /** Lists runs whose name or id has that text in it. */
  search(text: string): void;
  listMore(): void;
  signIn(token: string): Promise<void>;
  signOut(): Promise<void>;
  retryNow(): void;
}

export function createController(store: Store): Controller {
  let live: Live | undefined;
  const follower = createFollower(store, api, screenClock, reread);

  async function guarded(read: () => Promise<void>): Promise<void> {
    try {
      await read();
    } catch (error) {
      if (error instanceof UnauthorisedError) askToSignIn('');
      else if (error instanceof AnswerError) {
        store.set({ problem: error.message });
      } // else the server does not answer, which the connection says
    }
  }

  /** What was shown goes: whoever sits here now may not be who was signed in. */
  function askToSignIn(problem: string): void {
    live?.close();
    live = undefined;
    follower.forget();
    const { selected, metric } = store.get();
    store.set({ ...initialState, selected, metric, connection: { kind: 'unauthorised', problem } });
  }

  async function readSession(): Promise<void> {
    const { state, name } = await api.session();
    store.set({ signedInAs: state === 'signed in' ? name : undefined });
  }

  /** Opens the socket for the selected run (or for the first one to come), and reads all once it is open. */
  function connect(): void {
    live?.close();
    const run = store.get().selected;
    const readAll = (): void => {
      void guarded(readRuns);
      void guarded(readSession);
      if (run !== undefined) void guarded(() => readRun(run));
    };
    const impatient = setTimeout(readAll, socketPatienceMs);
    live = openLive(run, {
      opened() {
        clearTimeout(impatient);
        store.set({ connection: { kind: 'live' }, problem: undefined });
        readAll();
      },
      message: receive,
      closed(retryAt) {
        clearTimeout(impatient);
        store.set({ connection: { kind: 'waiting', retryAt } });
        readAll(); // tells a server that is gone from one that wants a token
      },
    });
  }

  async function readRuns(): Promise<void> {
    const { runsListed, search } = store.get();
    const { runs, total } = await api.runs(runsListed, search);
    if (store.get().search !== search) return; // a newer question is on its way
    store.set({ runs, runsTotal: total });
    if (store.get().selected !== undefined) return;
    const newest = runs[0];
    if (newest !== undefined) select(newest.id);
  }

  async function readRun(id: string): Promise<void> {
    try {
      await follower.read(id);
    } catch (error) {
      if (store.get().selected !== id) return;
      if (!(error instanceof AnswerError && error.status === 404)) throw error;
      // An address that was kept for longer than its run: show the newest one instead.
      store.set({ selected: undefined });
      await readRuns();
    }
  }

  function reread(): void {
    const { selected } = store.get();
    if (selected !== undefined) void guarded(() => readRun(selected));
  }

  function receive(message: LiveMessage): void {
    if (message.type === 'run') {
      upsert(message.run);
      const { selected } = store.get();
      if (selected === undefined) select(message.run.id);
      else if (selected === message.run.id) reread(); // no frame may follow one that was missed
    } else if (message.type === 'alert') {
      if (message.alert.runId === store.get().selected) follower.alert(message.alert);
    } else if (message.type === 'frame') {
      upsert(message.summary);
      if (message.run === store.get().selected) follower.frame(message.frame);
    } else if (message.type === 'deleted') remove(message.run);
  }

  /** Of a run that is not listed only the next reading of the list knows where it belongs, unless it is new. */
  function upsert(run: RunSummary): void {
    const { runs = [], runsTotal, runsListed, search, run: detail, sparklines } = store.get();
    const isKnown = runs.some(({ id }) => id === run.id);
    const isNew = !isKnown && search === '' && run.startedAt >= (runs[0]?.startedAt ?? 0);
    const next = isNew ? [run, ...runs].slice(0, runsListed) : runs.map((each) => (each.id === run.id ? run : each));
    const line = sparklines.get(run.id);
    if (line !== undefined && run.worst !== null) {
      store.set({ sparklines: new Map(sparklines).set(run.id, [...line, toValue(run.worst.value)].slice(-200)) });
    }
    const total = isNew ? runsTotal + 1 : runsTotal;
    store.set({ runs: next, runsTotal: total, ...(detail?.id === run.id ? { run: { ...detail, ...run } } : {}) });
  }

  function remove(id: string): void {
    const { runs = [], runsTotal, sparklines, selected } = store.get();
    const left = runs.filter((run) => run.id !== id);
    const lines = new Map(sparklines);
    lines.delete(id);
    store.set({ runs: left, runsTotal: runsTotal - (runs.length - left.length), sparklines: lines });
    if (selected !== id) return;
    follower.forget();
    const { run, series, alerts, latest } = initialState;
    store.set({ selected: undefined, run, series, alerts, latest });
    void guarded(readRuns);
  }

  function select(id: string): void {
    if (store.get().selected === id) return;
    follower.forget();
    const { run, series, alerts, latest, cursor, pinned, inspected, range } = initialState;
    store.set({ selected: id, run, series, alerts, latest, cursor, pinned, inspected, range });
    writeHash();
    connect();
  }

  function writeHash(): void {
    const { selected, metric } = store.get();
    const hash = toHash({ run: selected, metric });
    if (hash !== location.hash) history.replaceState(null, '', hash);
  }

  function selectMetric(metric: string): void {
    store.set({ metric });
    writeHash();
    reread();
  }

  return {
    start() {
      const place = parseHash(location.hash);
      store.set({ selected: place.run, metric: place.metric ?? initialState.metric });
      addEventListener('hashchange', () => {
        const { run, metric } = parseHash(location.hash);
        if (metric !== undefined && metric !== store.get().metric) selectMetric(metric);
        if (run !== undefined) select(run);
      });
      setInterval(() => {
        if (!document.hidden && store.get().connection.kind === 'live') void guarded(readRuns);
      }, runsEveryMs);
      connect();
    },
    selectMetric,
    zoom(range) {
      store.set({ range });
      reread();
    },
    search(text) {
      store.set({ search: text, runsListed: initialState.runsListed });
      void guarded(readRuns);
    },
    listMore() {
      store.set({ runsListed: Math.min(mostRuns, store.get().runsListed + initialState.runsListed) });
      void guarded(readRuns);
    },
    async signIn(token) {
      try {
        await api.signIn(token);
        store.set({ connection: { kind: 'connecting' } });
        connect();
      } catch (error) {
        const isAnswer = error instanceof UnauthorisedError || error instanceof AnswerError;
        askToSignIn(isAnswer ? error.message : 'The server does not answer.');
      }
    },
    async signOut() {
      await guarded(api.signOut);
      askToSignIn('');
    },
    retryNow: () => live?.retryNow(),
  };
}

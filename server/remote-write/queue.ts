/** Which runs have something to send, in the order in which they came to have it. Pure: no clock, no database. */
import type { Cursor } from './cursor.ts';
import { SeriesSet } from './series-set.ts';
import type { RunNews, StoredRun } from './source.ts';

export interface QueuedRun {
  news: RunNews;
  cursor: Cursor;
  readonly sent: SeriesSet;
  /** Since when it has not been even with the store, in milliseconds since 1970; undefined while it is. */
  behindSince: number | undefined;
}

export class RunQueue {
  readonly #graceMilliseconds: number;
  /** Runs that go on, or of which something is to be sent. */
  readonly #runs = new Map<string, QueuedRun>();
  readonly #due = new Set<QueuedRun>();
  readonly #taken = new Set<QueuedRun>();

  constructor(graceMilliseconds: number) {
    this.#graceMilliseconds = graceMilliseconds;
  }

  get(id: string): QueuedRun | undefined {
    return this.#runs.get(id);
  }

  add({ news, cursor }: StoredRun, now: number): void {
    // What waited before this server began has waited since its last sample, or since it arrived.
    const behindSince = cursor.time < 0 ? (news.lastFrameAt ?? now) : cursor.time;
    const run: QueuedRun = { news, cursor, sent: new SeriesSet(cursor.series), behindSince: undefined };
    if (this.#isBehind(run)) run.behindSince = behindSince;
    this.#runs.set(news.id, run);
    this.#look(run, now);
  }

  /** The run has grown, or its state changed. */
  renew(run: QueuedRun, news: RunNews, now: number): void {
    run.news = news;
    if (this.#isBehind(run)) run.behindSince ??= now;
    this.#look(run, now);
  }

  forget(id: string): void {
    const run = this.#runs.get(id);
    if (run !== undefined) this.#due.delete(run);
    this.#runs.delete(id);
  }

  /** Runs whose grace time is over are due. */
  sweep(now: number): void {
    for (const run of this.#runs.values()) this.#look(run, now);
  }

  /** The one that has waited longest; nobody else gets it before it is given back. */
  take(): QueuedRun | undefined {
    for (const run of this.#due) {
      this.#due.delete(run);
      this.#taken.add(run);
      return run;
    }
    return undefined;
  }

  get isEmpty(): boolean {
    return this.#due.size === 0;
  }

  giveBack(run: QueuedRun, now: number): void {
    this.#taken.delete(run);
    if (this.#runs.get(run.news.id) !== run) return; // deleted meanwhile
    if (!this.#isBehind(run)) run.behindSince = undefined;
    if (run.cursor.ended && !this.#isBehind(run)) this.#runs.delete(run.news.id);
    else this.#look(run, now);
  }

  /** Whether nothing but its end is left to be sent of a run, and that is due. */
  isOver({ news, cursor }: QueuedRun, now: number): boolean {
    if (news.lastSequence > cursor.sequence || cursor.time < 0 || cursor.ended) return false;
    if (news.state === 'silent') return now - news.stateSince >= this.#graceMilliseconds;
    return news.state !== 'connected';
  }

  lag(now: number): { lagFrames: number; lagSeconds: number } {
    let frames = 0;
    let oldest = now;
    for (const run of this.#runs.values()) {
      if (run.behindSince === undefined) continue;
      frames += Math.max(0, run.news.frames - run.cursor.frames);
      // One that is always a frame behind is not behind since it began: what was sent last says how old the next one is.
      oldest = Math.min(oldest, Math.max(run.behindSince, run.cursor.time));
    }
    return { lagFrames: frames, lagSeconds: (now - oldest) / 1000 };
  }

  #look(run: QueuedRun, now: number): void {
    if (this.#taken.has(run)) return;
    if (this.#isBehind(run) || this.isOver(run, now)) this.#due.add(run);
  }

  #isBehind({ news, cursor }: QueuedRun): boolean {
    return news.lastSequence > cursor.sequence;
  }
}

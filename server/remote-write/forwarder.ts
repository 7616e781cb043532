/**
 * Forwards all runs of a store to one receiver. The store is the queue: nothing is held but what is under way, so an outage of any length
 * costs no memory. Each shard takes some runs, sends what the receiver has not got of them, and moves their cursors.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import { messageOf } from '../../src/errors.ts';
import type { Client } from './client.ts';
import type { Cursor } from './cursor.ts';
import { createDelivery } from './delivery.ts';
import type { ResolvedEndpoint } from './options.ts';
import { type Part, pack } from './pack.ts';
import { RequestEncoder } from './protobuf.ts';
import { type QueuedRun, RunQueue } from './queue.ts';
import { createTally, type Report } from './report.ts';
import { createSaver } from './saver.ts';
import { createSeriesCache } from './series-cache.ts';
import { framesFor, type RunNews, type Source } from './source.ts';
import { isClamped, timesOf, toleranceMilliseconds } from './times.ts';

export interface ForwarderParts {
  readonly endpoint: ResolvedEndpoint;
  readonly source: Source;
  readonly client: Client;
  readonly saveCursors: (cursors: Cursor[]) => Promise<void>;
  readonly graceMilliseconds: number;
  readonly log: (line: string) => void;
  readonly now: () => number;
}

export interface Forwarder {
  /** Runs grew or changed their state. */
  renew(news: readonly RunNews[]): void;
  /** Descriptions of runs changed. */
  redescribe(ids: readonly string[]): void;
  forget(id: string): void;
  report(): Report;
  /** Gives requests under way a moment, then lets go. What the receiver has got is written down. */
  close(): Promise<void>;
}

/** A run's share of a job, and what its cursor is once the receiver has it. */
interface Share {
  readonly run: QueuedRun;
  readonly part: Part;
  readonly next: Cursor;
}

/** Of frames that a shard holds. */
const mostBytes = 8 * 1024 * 1024;
const sweepMilliseconds = 1000;
const troubleMilliseconds = 5000;
const closingMilliseconds = 1000;

export function createForwarder(parts: ForwarderParts): Forwarder {
  const { endpoint, source, log, now } = parts;
  const tally = createTally();
  const series = createSeriesCache(source, endpoint.externalLabels);
  const queue = new RunQueue(parts.graceMilliseconds);
  const saver = createSaver(parts.saveCursors, (error) => log(`a cursor was not written: ${messageOf(error)}`));
  const deliver = createDelivery({
    client: parts.client,
    tally,
    maxRetryMilliseconds: endpoint.maxRetrySeconds * 1000,
    log,
    now,
  });
  const aborting = new AbortController();
  const { signal } = aborting;
  let closing = false;
  const wakeUps: (() => void)[] = [];

  function wake(): void {
    if (queue.isEmpty && !closing) return;
    for (const wakeUp of wakeUps.splice(0)) wakeUp();
  }

  async function shard(): Promise<void> {
    const encoder = new RequestEncoder();
    while (!closing) {
      const runs: QueuedRun[] = [];
      try {
        const shares = takeJob(runs);
        if (shares.length > 0) await forward(shares, encoder);
        else if (runs.length === 0) await new Promise<void>((resolve) => wakeUps.push(resolve));
      } catch (error) {
        if (signal.aborted) return;
        log(`reading the store failed, tried again: ${messageOf(error)}`);
        await sleep(troubleMilliseconds, undefined, { signal }).catch(() => undefined);
      } finally {
        for (const run of runs) queue.giveBack(run, now());
        wake();
      }
    }
  }

  /** Some runs with about as many samples as a request may have; they are added to `runs` as they are taken. */
  function takeJob(runs: QueuedRun[]): Share[] {
    const shares: Share[] = [];
    let samples = 0;
    while (samples < endpoint.batchSamples) {
      const run = queue.take();
      if (run === undefined) break;
      runs.push(run);
      const share = shareOf(run, endpoint.batchSamples - samples);
      if (share === undefined) continue;
      shares.push(share);
      samples += samplesOf(share.part);
    }
    return shares;
  }

  function shareOf(run: QueuedRun, samples: number): Share | undefined {
    const { cursor, news, sent } = run;
    const known = series.get(news.id);
    if (known === undefined) {
      queue.forget(news.id); // deleted
      return undefined;
    }
    if (queue.isOver(run, now())) {
      const time = cursor.time + 1;
      const part = { series: known, frames: [], times: [], endsAt: time, sent };
      return { run, part, next: { ...cursor, time, ended: true } };
    }
    if (news.lastSequence <= cursor.sequence) return undefined;
    const limit = framesFor({ ...known, scalars: known.scalars.length }, samples, mostBytes);
    const planned = cursor.planned > cursor.sequence;
    const behind = source.behind(cursor, limit, planned ? cursor.planned : undefined);
    tally.lost('expired', behind.expired);
    tally.lost('unreadable', behind.unreadable);
    const frames = behind.frames.map(({ frame }) => frame);
    const ceiling = planned ? cursor.ceiling : now() + toleranceMilliseconds;
    const times = timesOf(frames, cursor.time, ceiling);
    if (!planned && isClamped(frames, ceiling)) run.cursor = { ...cursor, planned: behind.lastSequence, ceiling };
    // Sites that were declared just before these frames.
    const widest = Math.max(0, ...behind.frames.map(({ shape }) => shape.sites));
    const current = widest > known.sites || frames.some((frame) => frame.scalars.length > known.scalars.length);
    const next: Cursor = {
      ...run.cursor,
      // Where there is nothing to be read any more, there is nothing to wait for.
      sequence:
        behind.lastSequence > cursor.sequence ? behind.lastSequence : planned ? cursor.planned : news.lastSequence,
      frames: cursor.frames + frames.length + behind.expired + behind.unreadable,
      time: times.at(-1) ?? cursor.time,
      ended: frames.length === 0 && cursor.ended,
    };
    const part = { series: current ? (series.renew(news.id) ?? known) : known, frames, times, endsAt: undefined, sent };
    return { run, part, next };
  }

  async function forward(shares: readonly Share[], encoder: RequestEncoder): Promise<void> {
    const clamped = shares.filter(({ run, next }) => next.planned > run.cursor.sequence);
    if (clamped.length > 0) {
      for (const { run } of clamped) saver.save(run.cursor);
      await saver.settled();
    }
    // A little more than a batch is better sent at once than as a batch and a crumb.
    const total = shares.reduce((samples, { part }) => samples + samplesOf(part), 0);
    const most = total <= 1.5 * endpoint.batchSamples ? Number.POSITIVE_INFINITY : endpoint.batchSamples;
    const outgoing = shares.map(({ part }) => part);
    for (const _ of pack(outgoing, encoder, most)) {
      await deliver(encoder.bytes, encoder.samples, signal);
      encoder.clear();
    }
    for (const { run, part, next } of shares) {
      run.cursor = { ...next, series: part.sent.bytes };
      saver.save(run.cursor);
    }
  }

  for (const run of source.pending()) queue.add(run, now());
  const shards = Array.from({ length: endpoint.shards }, shard);
  const sweep = setInterval(() => {
    queue.sweep(now());
    wake();
  }, sweepMilliseconds);

  return {
    renew(news) {
      for (const each of news) {
        const run = queue.get(each.id);
        if (run !== undefined) queue.renew(run, each, now());
        else {
          const stored = source.run(each.id);
          if (stored !== undefined) queue.add({ ...stored, news: each }, now());
        }
      }
      wake();
    },
    redescribe(ids) {
      for (const id of ids) series.forget(id);
    },
    forget(id) {
      queue.forget(id);
      series.forget(id);
    },
    report: () => tally.take(queue.lag(now())),
    async close() {
      clearInterval(sweep);
      closing = true;
      wake();
      const impatient = setTimeout(() => aborting.abort(), closingMilliseconds);
      await Promise.all(shards);
      clearTimeout(impatient);
      await saver.settled().catch(() => undefined);
    },
  };
}

/** At most: what was not measured is not sent. */
function samplesOf({ frames, series }: Part): number {
  return Math.max(1, frames.length) * (series.values.length + series.scalars.length + 2);
}

/**
 * What a scrape of 100,000 series costs the server, and how long it keeps others from the event loop.
 *
 * The server's own renderer and its route live in this process, with 100 runs x 100 sites x 10 families, and every value is new for each
 * scrape. prom-client holds the same series with the same values; setting them is not timed. Both are timed in process, without
 * compression; the stall is that of whole scrapes over HTTP, sending included, by a client in a thread of its own.
 */
import { once } from 'node:events';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { Worker } from 'node:worker_threads';
import express from 'express';
import { seededRandom } from '../cli/demo/batches.ts';
import type { Scrapes, Wanted } from '../server/exposition/scrapes.ts';
import { createPeer, type Peer, type Sample, samplesOf } from './scrape/prom-client.ts';
import { createLiveSeries, type LiveSeries, shape } from './scrape/series.ts';
import { timed } from './scrape/stall.ts';
import type { Bench, Result, Setting } from './support/bench.ts';
import { built } from './support/built.ts';
import { bootstrapInterval, median, medianRatio, type Round, shuffled } from './support/statistics.ts';

const rounds = { full: 25, quick: 7 } as const;
const arms = ['outlierscope', 'openmetrics', 'prom_client', 'http', 'http_gzip', 'idle'] as const;
type Arm = (typeof arms)[number];

interface Measured {
  readonly milliseconds: number;
  readonly stall: number;
  readonly bytes: number;
}

export const scrape: Bench = {
  name: 'scrape',
  description:
    '/metrics with 100,000 series: ms a scrape, stall of the event loop, against prom-client with the same series',
  requirements: [
    { figure: 'speedup', must: 'at least', limit: 10 },
    { figure: 'stall_ms', must: 'at most', limit: 20 },
  ],
  run: measure,
};

async function measure({ length, progress }: Setting): Promise<Result> {
  const random = seededRandom(1);
  const series = await createLiveSeries(random);
  const scene = await createScene(series);
  try {
    const measured: Round<Arm, Measured>[] = [];
    let compared = 0;
    for (let round = -3; round < rounds[length]; round++) {
      series.renew();
      const samples = await scene.samples();
      scene.peer.set(samples);
      compared = assertSame(samples, samplesOf(await scene.peer.registry.metrics()));
      const results = {} as Record<Arm, Measured>;
      for (const arm of shuffled(arms, random)) results[arm] = await scene.arms[arm]();
      if (round >= 0) measured.push(results); // the first three warm up
      progress(
        `round ${round + 1}: ${arms.map((arm) => `${arm} ${results[arm].milliseconds.toFixed(1)} ms`).join(', ')}`,
      );
    }
    return evaluate(measured, compared, random);
  } finally {
    await scene.end();
  }
}

interface Scene {
  readonly peer: Peer;
  readonly arms: Readonly<Record<Arm, () => Promise<Measured>>>;
  /** What the server shows. */
  samples(): Promise<Sample[]>;
  end(): Promise<void>;
}

async function createScene({ registry }: LiveSeries): Promise<Scene> {
  const { createScrapes } =
    await built<typeof import('../server/exposition/scrapes.ts')>('server/exposition/scrapes.js');
  const { createMetricsRoute } =
    await built<typeof import('../server/exposition/route.ts')>('server/exposition/route.js');
  const { createHealth } = await built<typeof import('../server/health.ts')>('server/health.js');
  const { defaultLimits } = await built<typeof import('../server/limits.ts')>('server/limits.js');
  const { defaultRules } = await built<typeof import('../src/rules.ts')>('src/rules.js');
  const health = createHealth();
  const scrapes = createScrapes({
    runs: registry,
    rules: () => defaultRules,
    health,
    limits: defaultLimits,
    now: Date.now,
  });
  const server = createServer(express().get('/metrics', createMetricsRoute(scrapes, health)));
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const client = startClient((server.address() as AddressInfo).port);
  const peer = createPeer();
  const inProcess = (format: Wanted['format']) => () => measureArm(() => render(scrapes, format));
  return {
    peer,
    arms: {
      outlierscope: inProcess('text'),
      openmetrics: inProcess('openmetrics'),
      prom_client: () => measureArm(async () => Buffer.byteLength(await peer.registry.metrics())),
      http: () => measureArm(() => client.scrape('identity')),
      http_gzip: () => measureArm(() => client.scrape('gzip')),
      idle: () => measureArm(() => new Promise<number>((resolve) => setTimeout(resolve, 50, 0))),
    },
    async samples() {
      const body = await scrapes.scrape({ format: 'text', encoding: 'identity', runs: undefined, metrics: undefined });
      if (body === undefined) throw new Error('too many scrapes');
      const text = Buffer.concat(body.chunks).toString();
      body.release();
      return samplesOf(text);
    },
    async end() {
      await client.end();
      server.close();
    },
  };
}

async function measureArm(action: () => Promise<number>): Promise<Measured> {
  const { value: bytes, milliseconds, stall } = await timed(action);
  return { bytes, milliseconds, stall };
}

async function render(scrapes: Scrapes, format: Wanted['format']): Promise<number> {
  const body = await scrapes.scrape({ format, encoding: 'identity', runs: undefined, metrics: undefined });
  if (body === undefined) throw new Error('too many scrapes');
  body.release();
  return body.bytes;
}

/** Reads answers in a thread of its own, as they come and without keeping them. */
function startClient(port: number) {
  const worker = new Worker(
    `const { parentPort } = require('node:worker_threads');
     const { request } = require('node:http');
     parentPort.on('message', (encoding) => {
       request({ port: ${port}, host: '127.0.0.1', path: '/metrics', headers: { 'Accept-Encoding': encoding } }, (response) => {
         let bytes = 0;
         response.on('data', (piece) => { bytes += piece.length; });
         response.on('end', () => parentPort.postMessage(bytes));
       }).end();
     });`,
    { eval: true },
  );
  return {
    async scrape(encoding: Wanted['encoding']): Promise<number> {
      const answer = once(worker, 'message');
      worker.postMessage(encoding);
      return ((await answer) as [number])[0];
    },
    end: () => worker.terminate(),
  };
}

/** @throws when the two do not show the same series with the same values. Gives their number. */
function assertSame(ours: readonly Sample[], theirs: readonly Sample[]): number {
  const keyOf = ({ name, labels }: Sample): string => JSON.stringify([name, Object.entries(labels).toSorted()]);
  const values = new Map(theirs.map((sample) => [keyOf(sample), sample.value]));
  const same =
    ours.length === values.size && ours.every((sample) => Object.is(values.get(keyOf(sample)), sample.value));
  if (!same || ours.length < shape.runs * shape.sites * (shape.metrics + 1))
    throw new Error(`${ours.length} series here, ${values.size} in prom-client, or other values`);
  return ours.length;
}

function evaluate(measured: readonly Round<Arm, Measured>[], series: number, random: () => number): Result {
  type Statistic = (some: readonly Round<Arm, Measured>[]) => number;
  const time =
    (arm: Arm): Statistic =>
    (some) =>
      median(some.map((round) => round[arm].milliseconds));
  const stall =
    (arm: Arm): Statistic =>
    (some) =>
      median(some.map((round) => round[arm].stall));
  const statistics: Record<string, Statistic> = {
    speedup: (some) => medianRatio<Arm>('prom_client', 'outlierscope')(some.map(timesOf)),
    stall_ms: stall('http'),
    scrape_ms: time('outlierscope'),
    prom_client_ms: time('prom_client'),
    openmetrics_ms: time('openmetrics'),
    gzip_ms: time('http_gzip'),
    gzip_stall_ms: stall('http_gzip'),
    worst_stall_ms: (some) => Math.max(...some.flatMap((round) => [round.http.stall, round.http_gzip.stall])),
    prom_client_stall_ms: stall('prom_client'),
    idle_stall_ms: stall('idle'),
  };
  const entries = Object.entries(statistics);
  return {
    figures: Object.fromEntries(entries.map(([name, statistic]) => [name, statistic(measured)])),
    intervals: Object.fromEntries(
      entries.map(([name, statistic]) => [name, bootstrapInterval(measured, statistic, random)]),
    ),
    details: {
      rounds: measured.length,
      series,
      bytes: measured[0]?.http.bytes ?? 0,
      gzip_bytes: measured[0]?.http_gzip.bytes ?? 0,
      prom_client_bytes: measured[0]?.prom_client.bytes ?? 0,
      scrape_ms:
        'in process, text format, not compressed; the turns of the event loop between slices and the own metrics of the server included',
      prom_client_ms: 'registry.metrics() of the same series and values; setting them is not timed',
      gzip_ms: 'over HTTP to the last byte read, compressed in a thread',
      stall_ms: "median of the rounds' longest delays of a timer of 1 ms, over whole scrapes by HTTP",
    },
  };
}

function timesOf(round: Round<Arm, Measured>): Round<Arm> {
  return Object.fromEntries(arms.map((arm) => [arm, round[arm].milliseconds])) as Record<Arm, number>;
}

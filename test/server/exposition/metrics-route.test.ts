/** GET /metrics of a server: formats, encodings, filters, limits, and runs that come and go. */
import { once } from 'node:events';
import { mkdtempSync, rmSync } from 'node:fs';
import { request } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join as joinPath } from 'node:path';
import { gunzipSync } from 'node:zlib';
import express from 'express';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { createMetricsRoute } from '../../../server/exposition/route.ts';
import { createScrapes } from '../../../server/exposition/scrapes.ts';
import { createHealth } from '../../../server/health.ts';
import { type RunningServer, type ServerOptions, startServer } from '../../../server/index.ts';
import { answerErrors } from '../../../server/problem.ts';
import { OutlierscopeError } from '../../../src/errors.ts';
import { frameOf, helloOf, join } from '../trainer.ts';
import { parseSamples } from './runs.ts';

let server: RunningServer;
beforeAll(async () => {
  server = await startServer({ port: 0, database: ':memory:' });
  for (const id of ['first', 'second', 'third']) {
    const trainer = await join(server.url, helloOf(id));
    trainer.sendFrame(frameOf(0));
    await trainer.acknowledged(0);
  }
});
afterAll(() => server.close());

interface Answer {
  readonly status: number;
  readonly headers: Readonly<Record<string, string | string[] | undefined>>;
  readonly body: Buffer;
}

/** Unlike fetch it decodes nothing and adds no headers. */
function get(path: string, headers: Record<string, string> = {}, method = 'GET'): Promise<Answer> {
  return new Promise((resolve, reject) => {
    const asked = request(server.url + path, { method, headers }, async (response) => {
      const pieces: Buffer[] = [];
      for await (const piece of response) pieces.push(piece as Buffer);
      resolve({ status: response.statusCode ?? 0, headers: response.headers, body: Buffer.concat(pieces) });
    });
    asked.once('error', reject).end();
  });
}
const samplesAt = async (path: string) => parseSamples((await get(path)).body.toString());

describe('formats and encodings', () => {
  test('text unless OpenMetrics is asked for', async () => {
    const text = await get('/metrics');
    expect(text.headers).toMatchObject({
      'content-type': 'text/plain; version=0.0.4; charset=utf-8',
      'content-length': String(text.body.length),
      vary: 'Accept, Accept-Encoding',
      'cache-control': 'no-store',
    });
    expect(text.headers['content-encoding']).toBeUndefined();
    const openmetrics = await get('/metrics', { Accept: 'application/openmetrics-text; version=1.0.0' });
    expect(openmetrics.headers['content-type']).toBe('application/openmetrics-text; version=1.0.0; charset=utf-8');
    expect(openmetrics.body.toString()).toMatch(/\n# EOF\n$/);
    expect(openmetrics.body.toString()).toContain('# TYPE outlierscope_run info\n');
    expect(openmetrics.body.toString()).toContain('# TYPE outlierscope_server_frames_stored counter\n');
    expect(openmetrics.body.toString()).toContain('\noutlierscope_server_frames_stored_total 3\n');
  });

  test('gzip for who takes it', async () => {
    const answer = await get('/metrics?run=first', { 'Accept-Encoding': 'br, gzip' });
    expect(answer.headers['content-encoding']).toBe('gzip');
    expect(answer.headers['content-length']).toBe(String(answer.body.length));
    expect(gunzipSync(answer.body)).toEqual((await get('/metrics?run=first')).body);
    expect((await get('/metrics', { 'Accept-Encoding': 'gzip;q=0' })).headers['content-encoding']).toBeUndefined();
    expect((await get('/metrics', { 'Accept-Encoding': 'br' })).headers['content-encoding']).toBeUndefined();
  });

  test('HEAD gives the headers alone', async () => {
    const { status, headers, body } = await get('/metrics', { Accept: 'application/openmetrics-text' }, 'HEAD');
    expect({ status, type: headers['content-type'], bytes: body.length }).toEqual({
      status: 200,
      type: 'application/openmetrics-text; version=1.0.0; charset=utf-8',
      bytes: 0,
    });
    expect((await get('/metrics?nope=1', {}, 'HEAD')).status).toBe(400);
  });
});

test('a fault while rendering is told as it is, to who takes gzip too', async () => {
  const health = createHealth();
  health.registry.getMetricsAsJSON = () =>
    Promise.reject(new OutlierscopeError('broken', { code: 'test', hint: 'mend it' }));
  const limits = { scrapes: 1, runSeries: 1, scrapeSeries: 1 };
  const scrapes = createScrapes({ runs: { exposed: () => [] }, rules: () => [], health, limits, now: Date.now });
  const failing = express()
    .get('/metrics', createMetricsRoute(scrapes, health))
    .use(answerErrors)
    .listen(0, '127.0.0.1');
  await once(failing, 'listening');
  const { port } = failing.address() as AddressInfo;
  for (let attempt = 0; attempt < 3; attempt++) {
    const answer = await fetch(`http://127.0.0.1:${port}/metrics`, { headers: { 'Accept-Encoding': 'gzip' } });
    expect(answer.status).toBe(503);
    expect(answer.headers.get('content-encoding')).toBeNull();
    expect(await answer.json()).toMatchObject({ detail: expect.stringContaining('broken') });
  }
  failing.close();
});

describe('filters', () => {
  test('by run: series of those alone, and none of a run that there is not', async () => {
    const runsOf = async (path: string) => new Set((await samplesAt(path)).map(({ labels }) => labels['run']));
    expect(await runsOf('/metrics?run=first&run=third')).toEqual(new Set(['first', 'third', undefined]));
    const own = (await samplesAt('/metrics?run=first')).filter(({ labels }) => labels['run'] === undefined);
    expect(new Set(own.map(({ name }) => name))).toEqual(
      new Set(['outlierscope_server_scrape_series', 'outlierscope_server_scrape_series_left_out']),
    );
    expect(await runsOf('/metrics?run=gone')).toEqual(new Set([undefined]));
    expect((await get('/metrics?run=gone')).status).toBe(200);
  });

  test('by metric, named as here or as in the catalogue', async () => {
    const namesAt = async (path: string) => new Set((await samplesAt(path)).map(({ name }) => name));
    expect(await namesAt('/metrics?metric=kurtosis&metric=outlierscope_loss')).toEqual(
      new Set(['outlierscope_kurtosis', 'outlierscope_loss']),
    );
    expect(await namesAt('/metrics?metric=outlierscope_server_frames_stored')).toEqual(
      new Set(['outlierscope_server_frames_stored_total']),
    );
    expect(await namesAt('/metrics?metric=outlierscope_server_scrape_series_left_out')).toEqual(
      new Set(['outlierscope_server_scrape_series_left_out']),
    );
    expect(await samplesAt('/metrics?run=second&metric=rms')).toMatchObject([
      { name: 'outlierscope_rms', labels: { run: 'second', site: 'h0/residual' }, value: 0.5 },
      { name: 'outlierscope_rms', labels: { run: 'second', site: 'h1/residual' }, value: 0.75 },
    ]);
  });

  test.each([
    ['/metrics?metric=kurtosys', 'kurtosys'],
    ['/metrics?metric=rms&metric=', '""'],
    ['/metrics?rnu=first', 'unknown are rnu; known are run, metric'],
  ])('%s is refused, saying why', async (path, detail) => {
    const { status, headers, body } = await get(path, { 'Accept-Encoding': 'gzip' });
    expect(status).toBe(400);
    expect(headers['content-type']).toContain('application/problem+json');
    expect(JSON.parse(body.toString())).toMatchObject({ title: 'Bad query', detail: expect.stringContaining(detail) });
  });
});

test('every frame counts for the recent maximum, those between two scrapes and of one transaction too', async () => {
  const trainer = await join(server.url, helloOf('spiky'));
  for (let sequence = 0; sequence < 500; sequence++)
    trainer.sendFrame(frameOf(sequence, { kurtosis: sequence === 250 ? 321.5 : 1.5 }));
  await trainer.acknowledged(499);
  for (let scraper = 0; scraper < 3; scraper++) {
    expect(await samplesAt('/metrics?run=spiky&metric=outlierscope_kurtosis_recent_max&metric=kurtosis')).toMatchObject(
      [
        { name: 'outlierscope_kurtosis_recent_max', value: 321.5 },
        { name: 'outlierscope_kurtosis_recent_max', value: 1.25 },
        { name: 'outlierscope_kurtosis', value: 1.5 },
        { name: 'outlierscope_kurtosis', value: 1.25 },
      ],
    );
  }
  await trainer.close();
});

async function withServer(options: ServerOptions, action: (server: RunningServer) => Promise<void>): Promise<void> {
  const own = await startServer({ port: 0, database: ':memory:', ...options });
  try {
    await action(own);
  } finally {
    await own.close();
  }
}

const metricsOf = async ({ url }: RunningServer, query = '') =>
  parseSamples(await (await fetch(`${url}/metrics${query}`)).text());

test('limits on series say what they leave out', async () => {
  await withServer({ limits: { runSeries: 12, scrapeSeries: 20 } }, async (own) => {
    await join(own.url, helloOf('a'));
    const trainer = await join(own.url, helloOf('b'));
    trainer.sendFrame(frameOf(0));
    await trainer.acknowledged(0);
    const samples = await metricsOf(own);
    // Of a run there may be 16: info, 4 states, step, time, 2 scalars, a rule, and 2 sites with 3 families each.
    const leftOut = samples.filter(({ name }) => name === 'outlierscope_server_scrape_series_left_out');
    expect(leftOut).toEqual([
      { name: 'outlierscope_server_scrape_series_left_out', labels: { limit: 'run_series' }, value: 4 },
      { name: 'outlierscope_server_scrape_series_left_out', labels: { limit: 'scrape_series' }, value: 12 },
    ]);
    expect(new Set(samples.map(({ labels }) => labels['run']))).toEqual(new Set(['a', undefined]));
    // A filter makes room.
    expect((await metricsOf(own, '?run=b&metric=rms')).map(({ value }) => value)).toEqual([0.5, 0.75]);
  });
});

test('more scrapes at once than the limit are told to come again, and are counted', async () => {
  await withServer({ limits: { scrapes: 1 } }, async (own) => {
    const answers = await Promise.all(Array.from({ length: 20 }, () => fetch(`${own.url}/metrics`)));
    const refused = answers.filter(({ status }) => status === 503);
    expect(refused.length).toBeGreaterThan(0);
    expect(refused.length).toBeLessThan(20);
    expect(refused[0]?.headers.get('retry-after')).toBe('1');
    expect(await refused[0]?.json()).toMatchObject({ detail: expect.stringContaining('limit scrapes') });
    await Promise.all(answers.filter(({ status }) => status === 200).map((answer) => answer.text()));
    expect(await metricsOf(own)).toContainEqual({
      name: 'outlierscope_server_refused_total',
      labels: { reason: 'scrapes' },
      value: refused.length,
    });
  });
});

test('a scraper that goes away without reading gives its place back', async () => {
  await withServer({ limits: { scrapes: 1 } }, async (own) => {
    for (let attempt = 0; attempt < 5; attempt++) {
      const abort = new AbortController();
      const asked = fetch(`${own.url}/metrics`, { signal: abort.signal });
      abort.abort();
      await asked.catch(() => undefined);
    }
    await expect.poll(async () => (await fetch(`${own.url}/metrics`)).status).toBe(200);
  });
});

describe('a run', () => {
  const stateOf = (samples: Awaited<ReturnType<typeof metricsOf>>, run: string) =>
    samples
      .filter(({ name, labels, value }) => name === 'outlierscope_run_state' && labels['run'] === run && value === 1)
      .map(({ labels }) => labels['state']);

  test('is connected, silent, finished or failed', async () => {
    await withServer({}, async (own) => {
      for (const outcome of ['finished', 'failed'] as const) {
        const trainer = await join(own.url, helloOf(outcome));
        trainer.send({ type: 'bye', outcome });
        await trainer.closed;
      }
      await join(own.url, helloOf('connected'));
      const gone = await join(own.url, helloOf('silent'));
      gone.socket.terminate();
      await expect.poll(async () => stateOf(await metricsOf(own), 'silent')).toEqual(['silent']);
      const samples = await metricsOf(own);
      for (const state of ['finished', 'failed', 'connected']) expect(stateOf(samples, state)).toEqual([state]);
    });
  });

  test('leaves the grace time after it ended or fell silent, and also when the server was down meanwhile', async () => {
    const folder = mkdtempSync(joinPath(tmpdir(), 'outlierscope-grace-'));
    const options = { database: joinPath(folder, 'runs.db'), finishedGraceSeconds: 2 };
    const runsOf = async (own: RunningServer) =>
      new Set((await metricsOf(own, '?metric=outlierscope_run_info')).map(({ labels }) => labels['run']));
    let ended = 0;
    try {
      await withServer(options, async (own) => {
        for (const id of ['finished', 'cut-off']) {
          const trainer = await join(own.url, helloOf(id));
          trainer.sendFrame(frameOf(0));
          await trainer.acknowledged(0);
          if (id === 'cut-off') continue; // connected until the server ends
          trainer.send({ type: 'bye', outcome: 'finished' });
          await trainer.closed;
        }
        ended = Date.now();
        expect(await runsOf(own)).toEqual(new Set(['finished', 'cut-off']));
      });
      await new Promise((resolve) => setTimeout(resolve, Math.max(0, ended + 2100 - Date.now())));
      await withServer({ ...options, finishedGraceSeconds: 2 }, async (own) => {
        expect(await runsOf(own)).not.toContain('finished');
        await expect.poll(() => runsOf(own)).toEqual(new Set());
        const history = (await (await fetch(`${own.url}/api/runs`)).json()) as {
          runs: { id: string; state: string }[];
        };
        expect(history.runs.map(({ id, state }) => [id, state])).toEqual([
          ['cut-off', 'silent'],
          ['finished', 'finished'],
        ]);
      });
    } finally {
      rmSync(folder, { recursive: true });
    }
  });
});

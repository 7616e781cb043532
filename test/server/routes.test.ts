import { once } from 'node:events';
import { request } from 'node:http';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { WebSocket } from 'ws';
import { type RunningServer, startServer } from '../../server/index.ts';
import { siteMetrics } from '../../src/catalogue.ts';
import { closeCodes } from '../../src/messages.ts';
import { connect, frameOf, helloOf, join } from './trainer.ts';

let server: RunningServer;
const spike = 123;

beforeAll(async () => {
  server = await startServer({ port: 0, database: ':memory:' });
  const first = await join(
    server.url,
    helloOf('first', { startedAt: 5, tags: { group: 'g' }, config: { layers: 2, dropout: null } }),
  );
  for (let sequence = 0; sequence < 1000; sequence++)
    first.sendFrame(frameOf(sequence, { kurtosis: sequence === 777 ? spike : 1.5 }));
  await first.acknowledged(999);
  first.send({ type: 'bye', outcome: 'finished' });
  await first.closed;
  const second = await join(server.url, helloOf('second'));
  second.sendFrame(frameOf(0, { values: [Number.NaN, Infinity, -Infinity, 2], scalars: [Number.NaN, Infinity] }));
  await second.acknowledged(0);
});
afterAll(() => server.close());

async function get(path: string): Promise<{ status: number; type: string | null; body: unknown }> {
  const response = await fetch(server.url + path);
  const text = await response.text();
  const type = response.headers.get('content-type');
  return { status: response.status, type, body: type?.includes('json') ? JSON.parse(text) : text };
}

describe('the API', () => {
  test('lists runs, newest first', async () => {
    const { body } = await get('/api/runs');
    expect(body).toEqual({
      runs: [
        expect.objectContaining({
          id: 'second',
          state: 'connected',
          frames: 1,
          loss: null,
          worst: null,
          peak: null,
          firing: 0,
        }),
        {
          id: 'first',
          name: 'name of first',
          state: 'finished',
          startedAt: 5,
          lastFrameAt: expect.closeTo(Date.now(), -5),
          step: 9990,
          frames: 1000,
          firstSequence: 0,
          missing: 0,
          dropped: 0,
          loss: 2.5 - 9.99,
          tags: { group: 'g' },
          worst: { metric: 'kurtosis', site: 'h0/residual', value: 1.5, step: 9990 },
          peak: { metric: 'kurtosis', site: 'h0/residual', value: spike, step: 7770 },
          firing: 0,
        },
      ],
      next: null,
      total: 2,
    });
  });

  test('tells all of a run', async () => {
    const { body } = await get('/api/runs/first');
    const { sites, metrics, scalars } = helloOf('first');
    expect(body).toMatchObject({
      id: 'first',
      sites,
      metrics,
      scalars,
      config: { layers: 2, dropout: null },
      alerts: [],
      latest: {
        sequence: 999,
        step: 9990,
        scalars: { accuracy: 0.5 },
        values: { kurtosis: [1.5, 1.25], rms: [0.5, 0.75] },
        topNeurons: [
          [
            { neuron: 3, share: 0.5 },
            { neuron: 1, share: 0.25 },
          ],
          [{ neuron: 3, share: 0.5 }],
        ],
      },
    });
  });

  test('gives a series whose extremes survive down-sampling', async () => {
    const { body } = await get('/api/runs/first/series?metric=kurtosis&points=20');
    const series = body as {
      metric: string;
      steps: number[];
      times: number[];
      sites: string[];
      values: number[][];
      scalars: Record<string, number[]>;
    };
    expect(series.steps.length).toBeLessThanOrEqual(20);
    expect(series).toMatchObject({ metric: 'kurtosis', sites: ['h0/residual', 'h1/residual'] });
    const at = series.steps.indexOf(7770);
    expect(series.values[0]?.[at]).toBe(spike);
    expect(series.scalars['loss']?.[at]).toBe(2.5 - 7.77);
    expect(series.times[at]).toBe(1_700_000_777_000);
    for (const list of [...series.values, ...Object.values(series.scalars), series.times])
      expect(list).toHaveLength(series.steps.length);
  });

  test('gives the part of a series that was asked for', async () => {
    const { body } = await get('/api/runs/first/series?metric=rms&from=7765&to=7790');
    expect(body).toMatchObject({
      steps: [7770, 7780, 7790],
      values: [
        [0.5, 0.5, 0.5],
        [0.75, 0.75, 0.75],
      ],
    });
    expect((await get('/api/runs/first/series?metric=rms&from=99999')).body).toMatchObject({
      steps: [],
      values: [[], []],
    });
  });

  test('sends NaN and infinities by name', async () => {
    const { body } = await get('/api/runs/second/series?metric=kurtosis');
    expect(body).toMatchObject({
      values: [['NaN'], ['-Infinity']],
      scalars: { loss: ['NaN'], accuracy: ['Infinity'] },
    });
    expect((await get('/api/runs/second/frames/0')).body).toMatchObject({ values: { rms: ['Infinity', 2] } });
  });

  test('gives the last frame at or before a step', async () => {
    expect((await get('/api/runs/first/frames/7779')).body).toMatchObject({ step: 7770, sequence: 777 });
    expect((await get('/api/runs/first/frames/123456789')).body).toMatchObject({ step: 9990 });
  });

  test('gives the catalogue', async () => {
    expect((await get('/api/catalogue')).body).toMatchObject({ version: 1, siteMetrics: siteMetrics as unknown });
  });

  const faults: [string, number, string][] = [
    ['/api/runs/none', 404, '"none"'],
    ['/api/runs/none/series?metric=rms', 404, '"none"'],
    ['/api/runs/%3Cscript%3E', 404, '<script>'],
    ['/api/runs/%E0%A4%A', 400, 'decode'],
    ['/api/runs/first/series', 400, 'metric'],
    ['/api/runs/first/series?metric=nope', 400, 'it has kurtosis, rms'],
    ['/api/runs/first/series?metric=rms&metric=rms', 400, 'metric'],
    ['/api/runs/first/series?metric=rms&points=1', 400, 'points'],
    ['/api/runs/first/series?metric=rms&points=1000000', 400, 'points'],
    ['/api/runs/first/series?metric=rms&points=1e3', 400, 'points'],
    ['/api/runs/first/series?metric=rms&from=-1', 400, 'from'],
    ['/api/runs/first/series?metric=rms&to=99999999999999999999', 400, 'to'],
    ['/api/runs/first/frames/x', 400, 'step'],
    ['/api/nothing', 404, 'GET /api/nothing'],
    ['/../package.json', 404, 'package.json'],
  ];
  test.each(faults)('answers %s with a problem document, status %i', async (path, status, detail) => {
    const answer = await get(path);
    expect(answer).toMatchObject({ status, type: expect.stringContaining('application/problem+json') });
    expect(answer.body).toEqual({
      type: 'about:blank',
      title: expect.any(String),
      status,
      detail: expect.stringContaining(detail),
    });
  });

  test('answers only to loopback names while it listens on loopback', async () => {
    const { port } = server;
    const asked = request({
      port,
      host: '127.0.0.1',
      path: '/api/runs',
      headers: { Host: `rebound.example:${port}` },
    }).end();
    const [response] = (await once(asked, 'response')) as [{ statusCode: number; resume(): void }];
    response.resume();
    expect(response.statusCode).toBe(403);
    expect((await fetch(`http://localhost:${port}/api/runs`)).status).toBe(200);
  });

  test('sends headers that keep a page from doing harm', async () => {
    const { headers } = await fetch(`${server.url}/api/runs`);
    expect(headers.get('content-security-policy')).toContain("default-src 'none'; script-src 'self'");
    expect(headers.get('x-content-type-options')).toBe('nosniff');
    expect(headers.get('x-powered-by')).toBeNull();
    expect(headers.get('access-control-allow-origin')).toBeNull();
  });

  test('is healthy and ready, and says how it fares in /metrics', async () => {
    expect(await get('/healthz')).toMatchObject({ status: 200, body: 'ok\n' });
    expect(await get('/readyz')).toMatchObject({ status: 200, body: 'ok\n' });
    const metrics = await get('/metrics');
    expect(metrics.type).toBe('text/plain; version=0.0.4; charset=utf-8');
    expect(metrics.body).toContain('\noutlierscope_server_frames_stored_total 1001\n');
    expect(metrics.body).toContain('outlierscope_kurtosis{run="first",site="h0/residual"} 1.5\n');
  });
});

describe('with a token', () => {
  let guarded: RunningServer;
  const token = 'correct horse battery'.replaceAll(' ', '-');
  beforeAll(async () => {
    guarded = await startServer({ port: 0, database: ':memory:', token });
  });
  afterAll(() => guarded.close());

  test.each(['/metrics', '/api/runs', '/api/catalogue', '/api/none'])(
    '%s needs it, in the header alone',
    async (path) => {
      const status = async (query: string, headers: Record<string, string>): Promise<number> =>
        (await fetch(guarded.url + path + query, { headers })).status;
      expect(await status('', {})).toBe(401);
      expect(await status('', { Authorization: `Bearer ${token}x` })).toBe(401);
      expect(await status('', { Authorization: `Basic ${token}` })).toBe(401);
      expect(await status(`?token=${token}`, {})).toBe(401);
      const open = path === '/api/none' ? 404 : 200;
      expect(await status('', { Authorization: `Bearer ${token}` })).toBe(open);
    },
  );

  test('health checks need none', async () => {
    expect((await fetch(`${guarded.url}/healthz`)).status).toBe(200);
    expect((await fetch(`${guarded.url}/readyz`)).status).toBe(200);
  });

  test('trainers need it in hello', async () => {
    for (const wrong of [undefined, '', `${token}x`]) {
      const trainer = await connect(guarded.url);
      trainer.send(helloOf('run-1', wrong === undefined ? {} : { token: wrong }));
      expect(await trainer.closed).toMatchObject({
        code: closeCodes.unauthorised,
        reason: expect.stringContaining('token'),
      });
    }
    const trainer = await join(guarded.url, helloOf('run-1', { token }));
    const headers = { Authorization: `Bearer ${token}` };
    const everything = await (await fetch(`${guarded.url}/api/runs/run-1`, { headers })).text();
    expect(everything).not.toContain(token);
    await trainer.close();
  });

  test('viewers need it in a header, unless they have a cookie', async () => {
    const live = `${guarded.url.replace('http', 'ws')}/v1/live`;
    const [error] = (await once(new WebSocket(live), 'error')) as [Error];
    expect(error.message).toContain('401');
    const viewer = new WebSocket(live, { headers: { Authorization: `Bearer ${token}` } });
    await once(viewer, 'open');
    viewer.close();
  });
});

test('without a built page the root says how to build it, or serves it', async () => {
  const answer = await get('/');
  if (answer.status === 404) expect(answer.body).toMatchObject({ detail: expect.stringContaining('npm run build') });
  else expect(answer).toMatchObject({ status: 200, type: expect.stringContaining('text/html') });
});

test('deletes a run that is over, once, and none that goes on', async () => {
  const gone = await join(server.url, helloOf('to-be-deleted'));
  gone.sendFrame(frameOf(0));
  await gone.acknowledged(0);
  const remove = async (id: string) => (await fetch(`${server.url}/api/runs/${id}`, { method: 'DELETE' })).status;
  expect(await remove('to-be-deleted')).toBe(409);
  gone.send({ type: 'bye', outcome: 'finished' });
  await gone.closed;
  expect(await remove('to-be-deleted')).toBe(204);
  expect(await remove('to-be-deleted')).toBe(404);
  expect((await get('/api/runs/to-be-deleted')).status).toBe(404);
  expect((await get('/api/runs/to-be-deleted/series?metric=kurtosis')).status).toBe(404);
  expect((await get('/metrics')).body).not.toContain('to-be-deleted');
});

/** Paging, ranges, down-sampling and refusals of the HTTP API, against a real server with real frames. */
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { type RunningServer, startServer } from '../../server/index.ts';
import type { JsonNumber } from '../../server/json.ts';
import { frameOf, helloOf, join, type Trainer } from './trainer.ts';

let server: RunningServer;
const frames = 3000;
/** A peak of the second site, which stays below what the first one always has: frames alone would lose it. */
const hidden = { sequence: 1234, value: 40 };

beforeAll(async () => {
  server = await startServer({ port: 0, database: ':memory:', limits: { requestsPerSecond: 2000 } });
  const long = await join(server.url, helloOf('long'));
  for (let sequence = 0; sequence < frames; sequence++) {
    const second = sequence === hidden.sequence ? hidden.value : 1;
    // From 2000 on it goes on from an earlier checkpoint: steps come twice, times do not.
    const step = (sequence < 2000 ? sequence : sequence - 500) * 10;
    long.sendFrame(frameOf(sequence, { step, values: [50 + (sequence % 7), 0.5, second, 0.75] }));
  }
  await long.acknowledged(frames - 1);
  await finish(long);
  for (let index = 0; index < 25; index++) {
    const tags = { team: index % 2 === 0 ? 'red' : 'blue', 'a=b': 'c=d' };
    const trainer = await join(server.url, helloOf(`run-${index}`, { runName: `Sweep ${index}`, tags }));
    for (const [sequence, kurtosis] of [9, 9, 1, 1].slice(0, index % 3 === 0 ? 2 : 4).entries())
      trainer.sendFrame(frameOf(sequence, { kurtosis }));
    await trainer.acknowledged(index % 3 === 0 ? 1 : 3);
    await finish(trainer, index % 5 === 0 ? 'failed' : 'finished');
  }
});
afterAll(() => server.close());

async function finish(trainer: Trainer, outcome: 'finished' | 'failed' = 'finished'): Promise<void> {
  trainer.send({ type: 'bye', outcome });
  await trainer.closed;
}

async function get<Answer>(path: string): Promise<Answer> {
  const response = await fetch(server.url + path);
  if (!response.ok) throw new Error(`${response.status} for ${path}: ${await response.text()}`);
  return (await response.json()) as Answer;
}

/** Everything of a paged route, and how many pages that took. */
async function all<Key extends string, Item>(path: string, key: Key): Promise<{ items: Item[]; pages: number }> {
  const items: Item[] = [];
  let cursor = '';
  for (let pages = 1; ; pages++) {
    const answer = await get<Record<Key, Item[]> & { next: string | null }>(path + cursor);
    items.push(...answer[key]);
    if (answer.next === null) return { items, pages };
    cursor = `&cursor=${answer.next}`;
  }
}

interface SeriesAnswer {
  steps: number[];
  times: number[];
  values: number[][];
  envelope: { from: number[]; to: number[]; minima: number[][]; maxima: number[][] };
}

describe('runs', () => {
  const ids = async (query: string) =>
    (await all<'runs', { id: string }>(`/api/runs?${query}`, 'runs')).items.map(({ id }) => id);

  test('come page by page, each once, while new ones begin', async () => {
    const first = await get<{ runs: { id: string }[]; next: string; total: number }>('/api/runs?limit=10');
    expect(first).toMatchObject({ total: 26 });
    const late = await join(server.url, helloOf('late'));
    const second = await get<{ runs: { id: string }[]; next: string }>(`/api/runs?limit=10&cursor=${first.next}`);
    const third = await get<{ runs: { id: string }[]; next: null }>(`/api/runs?limit=10&cursor=${second.next}`);
    expect(third.next).toBeNull();
    const found = [first, second, third].flatMap(({ runs }) => runs.map(({ id }) => id));
    expect(found).toEqual([...Array.from({ length: 25 }, (_, index) => `run-${24 - index}`), 'long']);
    await finish(late);
    await fetch(`${server.url}/api/runs/late`, { method: 'DELETE' });
  });

  test('go on where a page ended though its last run was deleted', async () => {
    for (const id of ['gone-1', 'gone-2', 'gone-3']) await finish(await join(server.url, helloOf(id)));
    const first = await get<{ next: string }>('/api/runs?limit=2');
    await fetch(`${server.url}/api/runs/gone-2`, { method: 'DELETE' });
    const second = await get<{ runs: { id: string }[] }>(`/api/runs?limit=2&cursor=${first.next}`);
    expect(second.runs.map(({ id }) => id)).toEqual(['gone-1', 'run-24']);
    for (const id of ['gone-1', 'gone-3']) await fetch(`${server.url}/api/runs/${id}`, { method: 'DELETE' });
  });

  test('are found by state, by part of their name or id, and by tag', async () => {
    expect(await ids('state=failed&limit=2')).toEqual(['run-20', 'run-15', 'run-10', 'run-5', 'run-0']);
    expect(await ids('name=swEEp%202&limit=3')).toEqual(['run-24', 'run-23', 'run-22', 'run-21', 'run-20', 'run-2']);
    expect(await ids('name=LONG')).toEqual(['long']);
    expect(await ids('tag=team%3Dred&state=failed')).toEqual(['run-20', 'run-10', 'run-0']);
    expect(await ids('tag=a%3Db%3Dc%3Dd')).toEqual([]);
    expect(await ids('name=nothing')).toEqual([]);
  });
});

describe('frames', () => {
  test('come by step, a checkpoint gone back to in order, each once', async () => {
    const { items, pages } = await all<'frames', { step: number; sequence: number }>(
      '/api/runs/long/frames?from=14990&to=16000&limit=50',
      'frames',
    );
    expect(pages).toBe(5);
    expect(items).toHaveLength(1 + 101 + 101);
    const places = items.map(({ step, sequence }) => [step, sequence] as const);
    expect(places).toEqual(places.toSorted(([a, b], [c, d]) => a - c || b - d));
    expect(new Set(items.map(({ sequence }) => sequence)).size).toBe(items.length);
    expect(items[0]).toMatchObject({ step: 14990, values: { kurtosis: [51, 1] } });
  });

  test('come by time, as they were made', async () => {
    const time = (sequence: number) => 1_700_000_000_000 + sequence * 1000;
    const { items } = await all<'frames', { sequence: number }>(
      `/api/runs/long/frames?axis=time&from=${time(1990)}&to=${time(2020) - 1}&limit=7`,
      'frames',
    );
    expect(items.map(({ sequence }) => sequence)).toEqual(Array.from({ length: 30 }, (_, index) => 1990 + index));
  });
});

describe('series', () => {
  test('has each site’s own extremes in its envelope, which whole frames would lose', async () => {
    const { values, envelope } = await get<SeriesAnswer>(
      '/api/runs/long/series?metric=kurtosis&points=40&extremes=sites',
    );
    expect(values[1]).not.toContain(hidden.value);
    const place = envelope.maxima[1]?.indexOf(hidden.value) ?? -1;
    expect(envelope.from[place]).toBeLessThanOrEqual(hidden.sequence * 10);
    expect(envelope.to[place]).toBeGreaterThanOrEqual(hidden.sequence * 10);
    expect(envelope.from.length).toBeLessThanOrEqual(20);
    expect(Math.min(...(envelope.minima[0] ?? []))).toBe(50);
    expect(Math.max(...(envelope.maxima[0] ?? []))).toBe(56);
    expect(await get('/api/runs/long/series?metric=kurtosis&points=40')).not.toHaveProperty('envelope');
    expect(await get('/api/runs/long/series?metric=loss&points=40&extremes=sites')).not.toHaveProperty('envelope');
  });

  test('tells the extremes of a part, exactly', async () => {
    const at = hidden.sequence * 10;
    const extremes = async (from: number, to: number): Promise<JsonNumber[]> => {
      const query = `metric=kurtosis&from=${from}&to=${to}`;
      const { sites } = await get<{ sites: { minimum: JsonNumber; maximum: JsonNumber }[] }>(
        `/api/runs/long/sites?${query}`,
      );
      return [sites[1]?.minimum ?? null, sites[1]?.maximum ?? null];
    };
    expect(await extremes(0, 99999)).toEqual([1, hidden.value]);
    expect(await extremes(at, at)).toEqual([hidden.value, hidden.value]);
    expect(await extremes(at - 10, at)).toEqual([1, hidden.value]);
    expect(await extremes(at + 1, 99999)).toEqual([1, 1]);
    expect(await extremes(0, at - 1)).toEqual([1, 1]);
    expect(await extremes(88888, 99999)).toEqual([null, null]);
    expect(await get('/api/runs/long/sites')).toEqual({ sites: helloOf('long').sites });
  });

  test.each([2, 20, 500, 10000])(
    'over time with %i points is in the order of time and within the range',
    async (points) => {
      const time = (sequence: number) => 1_700_000_000_000 + sequence * 1000;
      const [from, to] = [time(1000), time(2800)];
      const { times, values } = await get<SeriesAnswer>(
        `/api/runs/long/series?metric=kurtosis&axis=time&from=${from}&to=${to}&points=${points}`,
      );
      expect(times).toEqual(times.toSorted((a, b) => a - b));
      expect(times[0]).toBeGreaterThanOrEqual(from);
      expect(times.at(-1)).toBeLessThanOrEqual(to);
      expect(times.length).toBeLessThanOrEqual(points);
      if (points === 10000) expect(times).toHaveLength(1801);
      expect(Math.max(...(values[0] ?? []))).toBe(56);
      expect(Math.min(...(values[1] ?? []))).toBe(1);
    },
  );
});

describe('alerts', () => {
  test('come page by page, by run and by state', async () => {
    const everything = await all<'alerts', { runId: string; state: string }>('/api/alerts?limit=4', 'alerts');
    expect(everything).toMatchObject({ pages: 7 });
    expect(everything.items.map(({ runId }) => runId)).toEqual([
      ...Array.from({ length: 25 }, (_, index) => `run-${24 - index}`),
      'long',
    ]);
    const firing = await all<'alerts', { runId: string }>('/api/alerts?limit=4&state=firing', 'alerts');
    expect(firing.items.map(({ runId }) => runId)).toEqual([
      ...[24, 21, 18, 15, 12, 9, 6, 3, 0].map((n) => `run-${n}`),
      'long',
    ]);
    expect((await all('/api/alerts?run=run-3&state=resolved', 'alerts')).items).toEqual([]);
    expect((await all('/api/alerts?run=run-4&state=resolved', 'alerts')).items).toHaveLength(1);
    expect((await all('/api/alerts?run=none', 'alerts')).items).toEqual([]);
  });
});

describe('refusals', () => {
  const refusals: [method: string, path: string, status: number, said: string[]][] = [
    ['GET', '/api/runs?limit=0', 400, ['limit is "0"', 'a whole number from 1 to 1000']],
    ['GET', '/api/runs?state=dead', 400, ['state is "dead"', 'one of connected, silent, finished, failed']],
    ['GET', '/api/runs?tag=red', 400, ['tag is "red"', 'NAME=VALUE']],
    ['GET', '/api/runs?cursor=abc', 400, ['cursor is "abc"', 'the `next` of an earlier page']],
    ['GET', '/api/runs?sort=name', 400, ['"sort" is no parameter here', 'known are state, name, tag, limit, cursor']],
    ['GET', '/api/runs?limit=5&limit=6', 400, ['limit is ["5","6"]', 'once']],
    ['GET', '/api/runs/long/series', 400, ['metric is missing']],
    ['GET', '/api/runs/long/series?metric=rms&axis=epoch', 400, ['axis is "epoch"', 'one of step, time']],
    ['GET', '/api/runs/long/sites?metric=loss', 400, ['metric is "loss"', 'it has kurtosis, rms']],
    ['GET', '/api/runs/long/frames?limit=101', 400, ['limit is "101"', 'from 1 to 100']],
    ['GET', '/api/runs/none/frames', 404, ['there is no run "none"']],
    ['GET', '/api/groups/none', 404, ['group="none"']],
    ['GET', '/api/alerts?cursor=WyJhIl0', 400, ['cursor']],
    ['PUT', '/api/runs', 405, ['does not take PUT', 'GET, HEAD']],
    ['DELETE', '/api/alerts', 405, ['does not take DELETE']],
    ['POST', '/metrics', 405, ['does not take POST']],
    ['POST', '/healthz', 405, ['does not take POST']],
  ];
  test.each(refusals)('%s %s: %i', async (method, path, status, said) => {
    const response = await fetch(server.url + path, { method });
    expect(response.status).toBe(status);
    expect(response.headers.get('content-type')).toContain('application/problem+json');
    const { detail } = (await response.json()) as { detail: string };
    for (const part of said) expect(detail).toContain(part);
    expect(response.headers.get('allow')).toEqual(status === 405 ? expect.stringContaining('GET, HEAD') : null);
  });

  test('who takes no JSON gets none: 406', async () => {
    const response = await fetch(`${server.url}/api/runs`, { headers: { Accept: 'text/html' } });
    expect(response.status).toBe(406);
    expect(await response.json()).toMatchObject({
      detail: expect.stringContaining('application/json is all there is'),
    });
    expect((await fetch(`${server.url}/api/runs`, { headers: { Accept: 'text/html, */*;q=0.1' } })).status).toBe(200);
  });

  test('OPTIONS says what a path takes', async () => {
    const response = await fetch(`${server.url}/api/runs/long`, { method: 'OPTIONS' });
    expect([response.status, response.headers.get('allow')]).toEqual([204, 'GET, HEAD, DELETE, OPTIONS']);
  });
});

/** Workers of one job are seen as one: in lists, as bands over their ranks, and in alerts. */
import { once } from 'node:events';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { WebSocket } from 'ws';
import { toGroupAlerts } from '../../server/group-alerts.ts';
import { type RunningServer, startServer } from '../../server/index.ts';
import type { Alert } from '../../src/messages.ts';
import { frameOf, helloOf, join, type Trainer } from './trainer.ts';

describe('with a server', () => {
  let server: RunningServer;
  beforeEach(async () => {
    server = await startServer({ port: 0, database: ':memory:' });
  });
  afterEach(() => server.close());

  const get = async (path: string): Promise<unknown> => (await fetch(server.url + path)).json();
  const start = (ranks: number[], group = 'job'): Promise<Trainer[]> =>
    Promise.all(
      ranks.map((rank) => join(server.url, helloOf(`${group}-${rank}`, { tags: { group, rank: String(rank) } }))),
    );
  async function send(trainer: Trainer, sequence: number, kurtosis: number): Promise<void> {
    trainer.sendFrame(frameOf(sequence, { kurtosis, scalars: [kurtosis / 2, 0.5] }));
    await trainer.acknowledged(sequence);
  }

  test('ranks are listed as one group, in the order of their ranks', async () => {
    const trainers = await start([10, 9, 0]);
    for (const [index, trainer] of trainers.entries()) await send(trainer, index, 1 + index / 10);
    await join(server.url, helloOf('alone'));
    expect(await get('/api/groups')).toMatchObject({
      total: 1,
      next: null,
      groups: [
        {
          name: 'job',
          runs: 3,
          states: { connected: 3, silent: 0, finished: 0, failed: 0 },
          lowestStep: 0,
          highestStep: 20,
          frames: 3,
          worst: { value: Math.fround(1.25), run: 'job-10', rank: '10', site: 'h1/residual' },
        },
      ],
    });
    const { ranks } = (await get('/api/groups/job')) as { ranks: { id: string; rank: string }[] };
    expect(ranks.map(({ id, rank }) => [id, rank])).toEqual([
      ['job-0', '0'],
      ['job-9', '9'],
      ['job-10', '10'],
    ]);
  });

  test('a series of the group is bands over its ranks by step', async () => {
    const trainers = await start([0, 1, 2]);
    for (let sequence = 0; sequence < 3; sequence++)
      for (const [rank, trainer] of trainers.entries())
        if (rank < 2 || sequence < 2) await send(trainer, sequence, 1 + rank / 4 + sequence / 2);
    expect(await get('/api/groups/job/series?metric=kurtosis')).toEqual({
      metric: 'kurtosis',
      sites: ['h0/residual', 'h1/residual'],
      from: [0, 10, 20],
      to: [0, 10, 20],
      ranks: [3, 3, 2],
      minima: [
        [1, 1.5, 2],
        [1.25, 1.25, 1.25],
      ],
      medians: [
        [1.25, 1.75, 2.125],
        [1.25, 1.25, 1.25],
      ],
      maxima: [
        [1.5, 2, 2.25],
        [1.25, 1.25, 1.25],
      ],
    });
    expect(await get('/api/groups/job/series?metric=loss&from=10&to=10')).toMatchObject({
      sites: [],
      from: [10],
      minima: [[0.75]],
      medians: [[0.875]],
      maxima: [[1]],
    });
    expect(await get('/api/groups/job/series?metric=nope')).toMatchObject({ status: 400 });
  });

  test('alerts once for all ranks: with the first, until the last', async () => {
    const viewer = new WebSocket(`${server.url.replace('http', 'ws')}/v1/live`);
    const seen: { state: string; ranks: number; ranksFiring: number; id: string; runId: string }[] = [];
    viewer.on('message', (data) => {
      const message = JSON.parse(String(data));
      if (message.type === 'groupAlert') seen.push(message);
    });
    await once(viewer, 'open');
    const [zero, one] = (await start([0, 1])) as [Trainer, Trainer];
    for (const sequence of [0, 1]) await send(zero, sequence, 9);
    for (const sequence of [0, 1]) await send(one, sequence, 12);
    expect(await get('/api/alerts/firing')).toMatchObject({
      runs: [],
      groups: [
        {
          group: 'job',
          rule: 'KurtosisHigh',
          state: 'firing',
          ranks: 2,
          ranksFiring: 2,
          runId: 'job-1',
          value: 12,
          startedStep: 10,
          summary: expect.stringContaining('2 of 2 ranks'),
        },
      ],
    });
    for (const sequence of [2, 3]) await send(zero, sequence, 1);
    expect(await get('/api/alerts/firing')).toMatchObject({ groups: [{ ranks: 2, ranksFiring: 1 }] });
    for (const sequence of [2, 3]) await send(one, sequence, 1);
    expect(await get('/api/alerts/firing')).toEqual({ groups: [], runs: [] });
    await expect.poll(() => seen.length).toBe(4);
    expect(seen.map(({ state, ranks, ranksFiring }) => [state, ranks, ranksFiring])).toEqual([
      ['firing', 1, 1],
      ['firing', 2, 2],
      ['firing', 2, 1],
      ['resolved', 2, 0],
    ]);
    expect(new Set(seen.map(({ id }) => id)).size).toBe(1);
    expect(await get('/api/groups/job')).toMatchObject({
      alerts: [{ state: 'resolved', ranks: 2, endedAt: expect.any(Number) }],
    });
    viewer.close();
  });

  test('a deleted rank fires no more, and its group goes with its last run', async () => {
    const [zero] = (await start([0])) as [Trainer];
    for (const sequence of [0, 1]) await send(zero, sequence, 9);
    expect(await get('/api/alerts/firing')).toMatchObject({ groups: [{ group: 'job' }] });
    zero.send({ type: 'bye', outcome: 'failed' });
    await zero.closed;
    await fetch(`${server.url}/api/runs/job-0`, { method: 'DELETE' });
    expect(await get('/api/alerts/firing')).toEqual({ groups: [], runs: [] });
    expect(await get('/api/groups')).toEqual({ groups: [], next: null, total: 0 });
  });
});

describe('alerts of ranks', () => {
  const alert = (runId: string, startedAt: number, endedAt: number | null, rule = 'R'): Alert => ({
    type: 'alert',
    id: `${runId}/${startedAt}`,
    state: endedAt === null ? 'firing' : 'resolved',
    rule,
    severity: 'warning',
    runId,
    metric: 'kurtosis',
    site: 'a',
    value: startedAt,
    step: startedAt,
    startedAt,
    startedStep: startedAt,
    endedAt,
    summary: 's',
    why: '',
    next: '',
  });
  const seen = (alerts: Alert[]) =>
    toGroupAlerts('g', alerts).map(({ state, ranks, startedAt, endedAt }) => [state, ranks, startedAt, endedAt]);

  test('are one while they overlap, rule by rule', () => {
    expect(seen([alert('a', 0, 10), alert('b', 5, 20), alert('c', 15, 30)])).toEqual([['resolved', 3, 0, 30]]);
    expect(seen([alert('a', 0, 10), alert('b', 11, 20)])).toEqual([
      ['resolved', 1, 11, 20],
      ['resolved', 1, 0, 10],
    ]);
    expect(seen([alert('a', 0, null), alert('b', 5, 20), alert('a', 2, 3, 'S')])).toEqual([
      ['resolved', 1, 2, 3],
      ['firing', 2, 0, null],
    ]);
  });

  test('of one rank that fires twice meanwhile count once', () => {
    expect(seen([alert('a', 0, 30), alert('b', 1, 5), alert('b', 10, 20)])).toEqual([['resolved', 2, 0, 30]]);
  });
});

import { once } from 'node:events';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { WebSocket } from 'ws';
import { type RunningServer, startServer } from '../../server/index.ts';
import { frameOf, helloOf, join, site } from './trainer.ts';

let server: RunningServer;
beforeEach(async () => {
  server = await startServer({ port: 0, database: ':memory:' });
});
afterEach(() => server.close());

interface LiveMessage {
  type: 'run' | 'frame' | 'alert';
  run: unknown;
  frame: { sequence: number };
  summary: unknown;
  alert: { state: string };
}

async function watch(query = ''): Promise<{ socket: WebSocket; messages: LiveMessage[] }> {
  const socket = new WebSocket(`${server.url.replace('http', 'ws')}/v1/live${query}`);
  const messages: LiveMessage[] = [];
  socket.on('message', (data) => messages.push(JSON.parse(String(data)) as LiveMessage));
  await once(socket, 'open');
  return { socket, messages };
}

const framesOf = (messages: LiveMessage[]): [unknown, number][] =>
  messages.filter((message) => message.type === 'frame').map((message) => [message.run, message.frame.sequence]);

describe('a viewer', () => {
  test('sees runs, frames and alerts as they happen', async () => {
    const viewer = await watch();
    const trainer = await join(server.url, helloOf('run-1'));
    for (const [sequence, kurtosis] of [1, 9, 9, 1, 1].entries()) trainer.sendFrame(frameOf(sequence, { kurtosis }));
    await trainer.acknowledged(4);
    trainer.send({ type: 'bye', outcome: 'finished' });
    await expect
      .poll(() => viewer.messages.at(-1))
      .toMatchObject({ type: 'run', run: { id: 'run-1', state: 'finished' } });
    const kinds = viewer.messages.map((message) => (message.type === 'alert' ? message.alert.state : message.type));
    expect(kinds).toEqual(['run', 'frame', 'frame', 'frame', 'firing', 'frame', 'frame', 'resolved', 'run']);
    expect(viewer.messages[0]).toMatchObject({ run: { id: 'run-1', state: 'connected', frames: 0 } });
    expect(viewer.messages[3]).toMatchObject({
      run: 'run-1',
      frame: { sequence: 2, step: 20, values: { kurtosis: [9, 1.25] } },
      summary: { id: 'run-1', frames: 3, firing: 1, peak: { value: 9, step: 10 } },
    });
    expect(viewer.messages[4]).toMatchObject({
      alert: { rule: 'KurtosisHigh', runId: 'run-1', site: 'h0/residual', value: 9, step: 20 },
    });
    viewer.socket.close();
  });

  test('of one run sees the frames of that run only', async () => {
    const viewer = await watch('?run=run-b');
    const a = await join(server.url, helloOf('run-a'));
    const b = await join(server.url, helloOf('run-b'));
    a.sendFrame(frameOf(0));
    await a.acknowledged(0);
    b.sendFrame(frameOf(0));
    b.sendFrame(frameOf(1));
    await expect.poll(() => framesOf(viewer.messages).length).toBe(2);
    expect(framesOf(viewer.messages)).toEqual([
      ['run-b', 0],
      ['run-b', 1],
    ]);
    expect(viewer.messages.filter((message) => message.type === 'run')).toHaveLength(2);
  });

  test('that does not read misses frames, while the others and the trainer go on', async () => {
    const sites = Array.from({ length: 500 }, (_, index) => site(`site ${index}`));
    const stuck = await watch();
    stuck.socket.pause();
    const viewer = await watch();
    const trainer = await join(server.url, helloOf('run-1', { sites, topNeurons: 2 }));
    const values = Array.from({ length: 1000 }, (_, index) => Math.sqrt(index));
    const count = 600;
    for (let sequence = 0; sequence < count; sequence++) {
      trainer.sendFrame(frameOf(sequence, { values }));
      // As fast as the other viewer reads.
      if (sequence % 10 === 9)
        await expect.poll(() => framesOf(viewer.messages).length, { interval: 5 }).toBe(sequence + 1);
    }
    const metrics = await (await fetch(`${server.url}/metrics`)).text();
    const skipped = Number(/^outlierscope_server_viewer_messages_skipped_total (\d+)$/m.exec(metrics)?.[1]);
    expect(skipped).toBeGreaterThan(0);
    stuck.socket.resume();
    await expect.poll(() => framesOf(stuck.messages).length).toBe(count - skipped);
    trainer.sendFrame(frameOf(count, { values }));
    await expect.poll(() => framesOf(stuck.messages).at(-1)).toEqual(['run-1', count]);
  });
});

test('an alert reaches the trainer, once when it begins and once when it ends', async () => {
  const trainer = await join(server.url, helloOf('run-1'));
  for (const [sequence, kurtosis] of [9, 9, 9, 1, 1, 1].entries()) trainer.sendFrame(frameOf(sequence, { kurtosis }));
  await trainer.acknowledged(5);
  const resolved = await trainer.message('alert', ({ state }) => state === 'resolved');
  expect(resolved).toMatchObject({
    id: 'run-1/KurtosisHigh/10',
    step: 40,
    startedStep: 10,
    endedAt: 1_700_000_004_000,
  });
  expect(trainer.messages.filter(({ type }) => type === 'alert')).toHaveLength(2);
  const { alerts } = (await (await fetch(`${server.url}/api/alerts?run=run-1`)).json()) as { alerts: unknown[] };
  expect(alerts).toEqual([resolved]);
  expect(await (await fetch(`${server.url}/api/alerts?run=other`)).json()).toEqual({ alerts: [], next: null });
  await trainer.close();
});

test('an infinite value fires a rule, and its alert is still JSON that the trainer can read', async () => {
  const trainer = await join(server.url, helloOf('run-1'));
  for (const sequence of [0, 1]) trainer.sendFrame(frameOf(sequence, { kurtosis: Infinity }));
  expect(await trainer.message('alert')).toMatchObject({ value: Number.MAX_VALUE });
  await trainer.close();
});

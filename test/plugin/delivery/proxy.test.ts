/** Networks that delay, cut, reset, swallow and trickle: every accepted frame is stored once. The server is the real one. */

import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest';
import { WebSocket } from 'ws';
import { connectWithHeartbeat } from '../../../plugin/delivery/connect.ts';
import type { DeliveryEvent, DeliveryReport } from '../../../plugin/delivery/delivery.ts';
import { Sender } from '../../../plugin/delivery/sender.ts';
import type { SenderSettings, Socket } from '../../../plugin/delivery/sender-parts.ts';
import { type RunningServer, startServer } from '../../../server/index.ts';
import { encodeFrame } from '../../../src/frame.ts';
import type { Hello } from '../../../src/messages.ts';
import { frameOf, helloOf } from '../../server/trainer.ts';
import { type BadNetwork, type Mischief, startProxy } from '../../support/proxy.ts';
import { storedRun, upTo } from '../../support/scope.ts';

let server: RunningServer;
let proxy: BadNetwork | undefined;
beforeEach(async () => {
  server = await startServer({ port: 0, database: ':memory:' });
});
afterEach(async () => {
  await proxy?.close();
  proxy = undefined;
  await server.close();
});

const fastHeartbeat = (url: string): Socket => connectWithHeartbeat(url, 100);

interface Started {
  readonly sender: Sender;
  readonly events: DeliveryEvent[];
  readonly closed: Promise<DeliveryReport>;
}

function start(hello: Hello, settings: SenderSettings, connect: (url: string) => Socket): Started {
  const events: DeliveryEvent[] = [];
  let resolve: (report: DeliveryReport) => void = () => {};
  const closed = new Promise<DeliveryReport>((done) => {
    resolve = done;
  });
  const sender = new Sender(settings, connect, (event) => {
    events.push(event);
    if (event.kind === 'closed') resolve(event.report);
  });
  sender.post({ kind: 'start', hello, beginning: 'fresh' });
  return { sender, events, closed };
}

/** Posts frames over some time, so that mischief falls between and into them. */
async function post(sender: Sender, from: number, to: number, time = (sequence: number) => sequence): Promise<void> {
  for (let sequence = from; sequence < to; sequence++) {
    const frame = { ...frameOf(sequence, { step: sequence }), time: time(sequence) };
    sender.post({ kind: 'frame', sequence, bytes: encodeFrame(frame, 2) });
    if (sequence % 20 === 0) await new Promise((resolve) => setTimeout(resolve, 2));
  }
}

const frames = 1000;
/** Bytes at which the first connections break: within the upgrade, within a frame, within the hello, late. */
const at = [90, 5001, 700, 40_003, 20_011];

describe('every accepted frame is stored once over a connection that', () => {
  test.each<[string, (connection: number) => Mischief]>([
    ['delays', () => ({ kind: 'delay', milliseconds: 30 })],
    ['trickles', () => ({ kind: 'trickle', bytes: 7 })],
    ['is cut in the middle of things', (n) => (at[n] === undefined ? { kind: 'none' } : { kind: 'cut', bytes: at[n] })],
    ['is reset', (n) => (at[n] === undefined ? { kind: 'none' } : { kind: 'reset', bytes: at[n] })],
    [
      'goes silent in both directions',
      (n) => (n > 1 ? { kind: 'none' } : { kind: 'black hole', bytes: at[n + 1] ?? 0 }),
    ],
    ['loses what the server answers', (n) => (n > 1 ? { kind: 'none' } : { kind: 'mute', bytes: at[n + 1] ?? 0 })],
  ])('%s', async (_what, plan) => {
    proxy = await startProxy(() => server.port, plan);
    const { sender, closed } = start(helloOf('run'), { url: proxy.url, bufferBytes: 1e8 }, fastHeartbeat);
    await post(sender, 0, frames);
    sender.post({ kind: 'close', outcome: 'finished', deadlineMilliseconds: 45_000 });
    expect(await closed).toMatchObject({ accepted: frames, delivered: frames, dropped: 0, undelivered: 0 });
    const stored = await storedRun(server.url, 'run');
    expect(stored).toMatchObject({ frames, dropped: 0 });
    expect(stored.steps).toEqual(upTo(frames));
    expect(proxy.connections()).toBeGreaterThan(plan(0).kind === 'delay' || plan(0).kind === 'trickle' ? 0 : 1);
  });
});

test('eight trainers through one bad network do not harm each other', async () => {
  let seed = 7;
  const random = () => {
    seed = (seed * 48_271) % 2_147_483_647;
    return seed;
  };
  const kinds = ['cut', 'reset', 'black hole'] as const;
  proxy = await startProxy(
    () => server.port,
    (connection) => {
      const kind = kinds[connection % 3] as (typeof kinds)[number];
      return connection < 30 ? { kind, bytes: 500 + (random() % 60_000) } : { kind: 'none' };
    },
  );
  const { url } = proxy;
  await Promise.all(
    upTo(8).map(async (index) => {
      const { sender, closed } = start(helloOf(`run-${index}`), { url, bufferBytes: 1e8 }, fastHeartbeat);
      await post(sender, 0, frames);
      sender.post({ kind: 'close', outcome: 'finished', deadlineMilliseconds: 45_000 });
      expect(await closed).toMatchObject({ accepted: frames, delivered: frames });
      expect((await storedRun(server.url, `run-${index}`)).steps).toEqual(upTo(frames));
    }),
  );
});

test('where sockets tell of no pings, the sender itself gives up a server that owes an answer', async () => {
  proxy = await startProxy(
    () => server.port,
    (connection) => (connection === 0 ? { kind: 'black hole', bytes: 700 } : { kind: 'none' }),
  );
  const settings = { url: proxy.url, bufferBytes: 1e8, silenceMilliseconds: 200 };
  const { sender, closed } = start(helloOf('quiet'), settings, (url) => new WebSocket(url) as unknown as Socket);
  await post(sender, 0, 100);
  sender.post({ kind: 'close', outcome: 'finished', deadlineMilliseconds: 30_000 });
  expect(await closed).toMatchObject({ delivered: 100 });
  expect(proxy.connections()).toBe(2);
  expect((await storedRun(server.url, 'quiet')).steps).toEqual(upTo(100));
});

test.each([-1, 1])('a clock that is %d day off changes what is said of the run, and nothing else', async (days) => {
  const day = days * 86_400_000;
  const startedAt = Date.now() + day;
  const { sender, closed } = start(
    helloOf('clock', { startedAt }),
    { url: server.url.replace('http', 'ws'), bufferBytes: 1e8 },
    fastHeartbeat,
  );
  await post(sender, 0, 50, (sequence) => startedAt + sequence);
  await vi.waitFor(async () => {
    const run = (await (await fetch(`${server.url}/api/runs/clock`)).json()) as Record<string, unknown>;
    expect(run).toMatchObject({ state: 'connected', frames: 50, startedAt, latest: { time: startedAt + 49 } });
    // When it was heard from is the server's own observation.
    expect(Math.abs(Number(run['lastFrameAt']) - Date.now())).toBeLessThan(3_600_000);
  }, 10_000);
  sender.post({ kind: 'close', outcome: 'finished', deadlineMilliseconds: 10_000 });
  expect(await closed).toMatchObject({ delivered: 50 });
  await expect.poll(() => storedRun(server.url, 'clock')).toMatchObject({ state: 'finished', steps: upTo(50) });
});

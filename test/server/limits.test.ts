/** Every limit, made small and then overstepped over real sockets: what is refused, how, and under which reason it is counted. */
import { once } from 'node:events';
import { afterEach, describe, expect, test } from 'vitest';
import { WebSocket } from 'ws';
import { type RunningServer, type ServerLimits, startServer } from '../../server/index.ts';
import type { RefusalReason } from '../../server/refusals.ts';
import { closeCodes, type Hello } from '../../src/messages.ts';
import { head, openRaw, type RawConnection, statusOf } from '../support/raw-http.ts';
import { connect, frameOf, helloOf, join, site, type Trainer } from './trainer.ts';

let server: RunningServer;
afterEach(() => server.close());
const start = async (limits: Partial<ServerLimits>, trustedProxies: string[] = []): Promise<void> => {
  server = await startServer({ port: 0, database: ':memory:', limits, trustedProxies });
};

async function metric(line: string): Promise<number> {
  const text = await (await fetch(`${server.url}/metrics`)).text();
  return Number(
    text
      .split('\n')
      .find((each) => each.startsWith(`${line} `))
      ?.split(' ')
      .at(-1),
  );
}
async function listedRuns(): Promise<{ state: string }[]> {
  const { runs } = (await (await fetch(`${server.url}/api/runs`)).json()) as { runs: { state: string }[] };
  return runs;
}
const refused = (reason: RefusalReason): Promise<number> =>
  metric(`outlierscope_server_refused_total{reason="${reason}"}`);

describe('a run', () => {
  const small = { sites: 3, metrics: 2, scalars: 2, nameLength: 20, descriptionBytes: 100 };
  const long = 'x'.repeat(21);
  test.each<[RefusalReason, Partial<Hello>, string]>([
    ['sites', { sites: ['a', 'b', 'c', 'd'].map(site) }, '4 sites are more than the 3'],
    ['metrics', { metrics: ['kurtosis', 'rms', 'absmax'] }, '3 metrics are more than the 2'],
    ['scalars', { scalars: ['loss', 'a', 'b'] }, '3 scalars are more than the 2'],
    ['name_length', { runName: long }, 'has 21 of at most 20'],
    ['name_length', { sites: [site(long)] }, 'has 21 of at most 20'],
    ['name_length', { tags: { [long]: '' } }, 'has 21 of at most 20'],
    ['name_length', { config: { [long]: 1 } }, 'has 21 of at most 20'],
    ['description_size', { config: { notes: 'x'.repeat(100) } }, 'of at most 100 bytes'],
  ])('of too much (%s) is refused for good', async (reason, changes, said) => {
    await start(small);
    const trainer = await connect(server.url);
    trainer.send(helloOf('run-1', changes));
    expect(await trainer.closed).toEqual({ code: closeCodes.tooLarge, reason: expect.stringContaining(said) });
    expect(await refused(reason)).toBe(1);
    expect(await listedRuns()).toEqual([]);
    await (await join(server.url, helloOf('run-1'))).close();
  });

  test('that grows beyond a limit is refused then, and keeps what it has', async () => {
    await start(small);
    const trainer = await join(server.url, helloOf('run-1'));
    trainer.sendFrame(frameOf(0));
    trainer.send({ type: 'declare', sites: [site('third')] });
    trainer.send({ type: 'declare', sites: [site('fourth')] });
    expect((await trainer.closed).code).toBe(closeCodes.tooLarge);
    await expect.poll(listedRuns).toMatchObject([{ state: 'silent' }]);
    expect(await (await fetch(`${server.url}/api/runs/run-1`)).json()).toMatchObject({
      frames: 1,
      sites: [{}, {}, {}],
    });
  });

  test('sends messages that are not too large; the welcome says how large', async () => {
    await start({ frameBytes: 4096, textBytes: 2048 });
    const texts = await join(server.url, helloOf('texts'));
    expect(texts.messages[0]).toMatchObject({ limits: { frameBytes: 4096 } });
    texts.send(JSON.stringify({ type: 'x', padding: 'x'.repeat(2048) }));
    expect((await texts.closed).code).toBe(closeCodes.tooLarge);
    const frames = await join(server.url, helloOf('frames'));
    frames.socket.send(new Uint8Array(4097));
    expect((await frames.closed).code).toBe(1009);
    expect([await refused('text_size'), await refused('message_size')]).toEqual([1, 1]);
  });

  test('begins while there is room, else later; one that is known goes on', async () => {
    const refusal = async (id: string): Promise<{ code: number; reason: string }> => {
      const trainer = await connect(server.url);
      trainer.send(helloOf(id));
      return trainer.closed;
    };
    await start({ runs: 2 });
    const all = await Promise.all(Array.from({ length: 4 }, () => connect(server.url)));
    for (const [index, trainer] of all.entries()) trainer.send(helloOf('abcd'[index] as string));
    const turnedAway = await Promise.all(all.slice(2).map((trainer) => trainer.closed));
    for (const each of turnedAway)
      expect(each).toEqual({ code: closeCodes.overloaded, reason: expect.stringContaining('limit runs') });
    expect(await refused('runs')).toBe(2);
    await (await join(server.url, helloOf('a'))).close();
    await server.close();

    await start({ runsPerHour: 1 });
    await (await join(server.url, helloOf('a'))).close();
    expect(await refusal('b')).toEqual({
      code: closeCodes.overloaded,
      reason: expect.stringContaining('limit runsPerHour'),
    });
    expect(await refused('runs_per_hour')).toBe(1);
    await (await join(server.url, helloOf('a'))).close();
  });
});

describe('a trainer that sends too fast', () => {
  const count = 60;
  const sendAll = (trainer: Trainer, padding = ''): void => {
    for (let sequence = 0; sequence < count; sequence++) {
      trainer.sendFrame(frameOf(sequence));
      if (padding !== '') trainer.send({ type: 'later', padding });
    }
  };

  test('in messages waits, loses nothing, and holds up nobody else', async () => {
    await start({ messagesPerSecond: 20 });
    const fast = await join(server.url, helloOf('fast'));
    sendAll(fast);
    await expect.poll(() => metric('outlierscope_server_throttled_seconds_total{limit="messages"}')).toBeGreaterThan(0);
    const calm = await join(server.url, helloOf('calm'));
    calm.sendFrame(frameOf(0));
    await calm.acknowledged(0);
    await fast.acknowledged(count - 1);
    expect(await (await fetch(`${server.url}/api/runs/fast`)).json()).toMatchObject({ frames: count });
    expect(fast.socket.readyState).toBe(WebSocket.OPEN);
    await Promise.all([fast.close(), calm.close()]);
  });

  test('in bytes waits likewise, and goodbye is still heard', async () => {
    await start({ bytesPerSecond: 64 * 1024 });
    const fast = await join(server.url, helloOf('fast'));
    sendAll(fast, 'x'.repeat(2048));
    fast.send({ type: 'bye', outcome: 'finished' });
    expect((await fast.closed).code).toBe(1000);
    expect(await (await fetch(`${server.url}/api/runs/fast`)).json()).toMatchObject({
      frames: count,
      state: 'finished',
    });
    expect(await metric('outlierscope_server_throttled_seconds_total{limit="bytes"}')).toBeGreaterThan(0);
  });
});

describe('connections', () => {
  test('of trainers beyond the limit are told to come later, and find room again', async () => {
    await start({ trainers: 1 });
    const first = await join(server.url, helloOf('a'));
    const second = await connect(server.url);
    expect(await second.closed).toEqual({
      code: closeCodes.overloaded,
      reason: expect.stringContaining('limit trainers'),
    });
    expect(await refused('trainers')).toBe(1);
    await first.close();
    await expect.poll(() => metric('outlierscope_server_trainers')).toBe(0);
    await (await join(server.url, helloOf('b'))).close();
  });

  test('of viewers beyond the limit are refused', async () => {
    await start({ viewers: 1 });
    const open = () => new WebSocket(`${server.url.replace('http', 'ws')}/v1/live`);
    const first = open();
    await once(first, 'open');
    const [, response] = await once(
      open().on('error', () => {}),
      'unexpected-response',
    );
    expect(response.statusCode).toBe(503);
    expect(await refused('viewers')).toBe(1);
    first.close();
  });

  async function idle(count: number): Promise<RawConnection[]> {
    const opened = await Promise.all(Array.from({ length: count }, () => openRaw(server.port)));
    await Promise.all(opened.map(({ socket }) => (socket.connecting ? once(socket, 'connect') : undefined)));
    return opened;
  }

  test.each([
    ['connectionsPerAddress', 'connections_per_address'],
    ['connections', 'connections'],
  ] as const)('beyond %s are told so, and cut when they are many more', async (limit, reason) => {
    await start({ [limit]: 3, headerSeconds: 60 });
    const held = await idle(3);
    const late = await openRaw(server.port, head('GET /healthz'));
    const answer = await late.closed;
    expect([statusOf(answer), answer]).toEqual([503, expect.stringContaining(`limit ${limit}`)]);
    const trainer = await connect(server.url);
    expect(await trainer.closed).toEqual({
      code: closeCodes.overloaded,
      reason: expect.stringContaining(`limit ${limit}`),
    });
    const crowd = await idle(101);
    await Promise.race(crowd.map(({ closed }) => closed));
    for (const { socket } of [...held, ...crowd]) socket.destroy();
    await expect.poll(async () => (await fetch(`${server.url}/healthz`).catch(() => undefined))?.status).toBe(200);
    expect(await refused(reason)).toBeGreaterThanOrEqual(3);
  });

  test('of a trusted proxy count for its clients', async () => {
    await start({ connectionsPerAddress: 1 }, ['127.0.0.1']);
    const from = (client: string) => connect(server.url, { 'X-Forwarded-For': client });
    const first = await from('192.0.2.1');
    const second = await from('192.0.2.1');
    expect((await second.closed).code).toBe(closeCodes.overloaded);
    const other = await from('192.0.2.2');
    other.send(helloOf('b'));
    await other.message('welcome');
    expect(await refused('connections_per_address')).toBe(1);
    await first.close();
    await other.close();
  });

  test('that say nothing of themselves may not send much', async () => {
    await start({ textBytes: 1024 });
    const large = await connect(server.url);
    large.socket.send('x'.repeat(8 * 1024 * 1024));
    expect((await large.closed).code).toBeOneOf([closeCodes.tooLarge, 1006]);
    expect(await refused('text_size')).toBe(1);
    await server.close();

    await start({ unannouncedBytes: 64 * 1024 });
    // Beginnings of hellos that do not end: each is allowed, all of them are not.
    const open = await Promise.all(Array.from({ length: 4 }, () => connect(server.url)));
    for (const { socket } of open) socket.send('x'.repeat(30 * 1024), { fin: false });
    await Promise.race(open.map(({ closed }) => closed));
    expect(await refused('unannounced_bytes')).toBeGreaterThan(0);
    for (const { socket } of open) socket.terminate();
    await expect.poll(() => metric('outlierscope_server_trainers')).toBe(0);
    await (await join(server.url, helloOf('a'))).close();
  });
});

describe('requests', () => {
  test('beyond the rate of an address wait', async () => {
    await start({ requestsPerSecond: 5 });
    const answers = await Promise.all(Array.from({ length: 30 }, () => fetch(`${server.url}/healthz`)));
    const late = answers.filter(({ status }) => status === 429);
    expect(late.length).toBeGreaterThan(5);
    expect(Number(late[0]?.headers.get('retry-after'))).toBeGreaterThan(0);
    await expect.poll(async () => (await fetch(`${server.url}/healthz`)).status, { interval: 500 }).toBe(200);
    await expect.poll(() => refused('request_rate'), { interval: 500 }).toBeGreaterThan(5);
  });

  test('with headers that are too large, or no requests at all, end the connection', async () => {
    await start({ headerBytes: 2048 });
    const large = await openRaw(server.port, head('GET /healthz', { 'X-Large': 'x'.repeat(4096) }));
    const nonsense = await openRaw(server.port, '\x16\x03\x01\x02\0nonsense\r\n\r\n');
    expect([statusOf(await large.closed), statusOf(await nonsense.closed)]).toEqual([431, 400]);
    expect([await refused('header_size'), await refused('bad_request')]).toEqual([1, 1]);
  });

  test('that take too long are ended: headers, bodies, and connections that say nothing', async () => {
    await start({ headerSeconds: 1, requestSeconds: 2 });
    const headers = await openRaw(server.port, 'GET /healthz HTTP/1.1\r\nHost: localhost\r\nX-Slow: ');
    const body = await openRaw(
      server.port,
      head('POST /api/session', { 'Content-Type': 'application/json', 'Content-Length': '50' }),
      '{"token": ',
    );
    const silent = await openRaw(server.port);
    // Bytes that keep trickling in do not help.
    const drip = setInterval(() => headers.socket.write('x'), 200);
    expect(statusOf(await headers.closed)).toBe(408);
    clearInterval(drip);
    await Promise.all([body.closed, silent.closed]);
    expect(await refused('slow_request')).toBeGreaterThanOrEqual(2);
  });
});

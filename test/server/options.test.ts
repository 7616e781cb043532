import { once } from 'node:events';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { describe, expect, test } from 'vitest';
import { isLoopback } from '../../server/access/hosts.ts';
import { type ServerOptions, startServer } from '../../server/index.ts';
import { defaultLimits } from '../../server/limits.ts';
import { resolveOptions } from '../../server/options.ts';
import { afterBye, afterHello, afterSilence } from '../../server/run-record.ts';
import { createRunRegistry } from '../../server/runs.ts';
import { defaultRules } from '../../src/rules.ts';
import { frameOf, helloOf } from './trainer.ts';

describe('options', () => {
  test('have safe defaults', () => {
    expect(resolveOptions({})).toEqual({
      host: '127.0.0.1',
      port: 9877,
      database: 'outlierscope.db',
      tokens: [],
      insecure: false,
      tls: undefined,
      allowedOrigins: [],
      trustedProxies: [],
      limits: defaultLimits,
      rules: defaultRules,
      finishedGraceSeconds: 300,
      kurtosisWindowSeconds: 60,
      remoteWrite: [],
    });
  });

  const [rule] = defaultRules;
  test.each<[unknown, string]>([
    [{ prot: 1 }, '"prot"'],
    [{ port: 70_000 }, 'port'],
    [{ port: '9877' }, 'port'],
    [{ token: '' }, 'token'],
    [{ token: 'guessed' }, 'token: must be 8 to 4096'],
    [{ token: 'with a space' }, 'token: must be 8 to 4096'],
    [{ tokens: [{ name: 'ci', token: 'a-secret', scopes: [] }] }, 'tokens.0.scopes: must name at least one of'],
    [{ tokens: [{ name: 'ci', token: 'a-secret', scopes: ['write'] }] }, 'tokens.0.scopes.0'],
    [{ tokens: [{ name: 'c i', token: 'a-secret', scopes: ['read'] }] }, 'tokens.0.name'],
    [
      { tokens: ['a', 'a'].map((name) => ({ name, token: 'a-secret', scopes: ['read'] })) },
      'names of tokens must differ',
    ],
    [{ tokens: ['a', 'b'].map((name) => ({ name, token: 'a-secret', scopes: ['read'] })) }, 'tokens must differ'],
    [{ tokens: [{ name: 'ci', token: 'a-secret', scopes: ['read'] }], token: 'a-secret' }, 'tokens must differ'],
    [{ trustedProxies: ['proxy.example'] }, 'trustedProxies.0'],
    [{ trustedProxies: ['10.0.0.0/33'] }, 'trustedProxies.0'],
    [{ limits: { sites: 5000 } }, 'limits.sites'],
    [{ limits: { frameBytes: 0 } }, 'limits.frameBytes'],
    [{ limits: { speed: 1 } }, 'limits: unknown are speed; known are frameBytes'],
    [{ tls: { certificate: 'a.pem' } }, 'tls.key'],
    [{ finishedGraceSeconds: -1 }, 'finishedGraceSeconds'],
    [{ kurtosisWindowSeconds: 0 }, 'kurtosisWindowSeconds'],
    [{ allowedOrigins: ['monitor.example'] }, 'allowedOrigins.0'],
    [{ allowedOrigins: ['https://monitor.example/'] }, 'allowedOrigins.0'],
    [{ rules: [rule, rule] }, 'names of rules must differ'],
    [{ rules: [{ ...rule, resolveBelow: 5 }] }, 'rules.0.resolveBelow'],
    [{ rules: [{ ...rule, name: 'a b' }] }, 'rules.0.name'],
    [{ rules: [{ ...rule, frames: 0 }] }, 'rules.0.frames'],
  ])('refuse %j, naming what is wrong', (options, named) => {
    expect(() => resolveOptions(options as ServerOptions)).toThrow(
      expect.objectContaining({ code: 'invalid-options', message: expect.stringContaining(named) }),
    );
  });

  test('refuse to listen beyond loopback without a token, unless told that it is meant', () => {
    for (const host of ['0.0.0.0', '::', '192.168.0.7', 'example.com', '127.0.0.1.example.com']) {
      expect(() => resolveOptions({ host })).toThrow(expect.objectContaining({ code: 'insecure-host' }));
      expect(resolveOptions({ host, token: 'a-secret' })).toMatchObject({ host });
      expect(resolveOptions({ host, insecure: true })).toMatchObject({ host });
    }
    for (const host of ['127.0.0.1', '127.1.2.3', 'localhost', '::1', '[::1]']) expect(isLoopback(host)).toBe(true);
  });
});

test('a port in use is a clear error that says how to go on', async () => {
  const other = createServer().listen(0, '127.0.0.1');
  await once(other, 'listening');
  const { port } = other.address() as AddressInfo;
  await expect(startServer({ port, database: ':memory:' })).rejects.toMatchObject({
    code: 'port-in-use',
    message: expect.stringContaining(String(port)),
    hint: expect.any(String),
  });
  other.close();
});

test('a host name that is allowed by its origin is answered, for proxies that keep it', async () => {
  const server = await startServer({ port: 0, database: ':memory:', allowedOrigins: ['https://monitor.example'] });
  const { createConnection } = await import('node:net');
  const status = async (host: string): Promise<string> => {
    const socket = createConnection(server.port, '127.0.0.1');
    socket.end(`GET /healthz HTTP/1.1\r\nHost: ${host}\r\nConnection: close\r\n\r\n`);
    let text = '';
    for await (const chunk of socket) text += String(chunk);
    return text.split('\r\n', 1)[0] ?? '';
  };
  expect(await status('monitor.example')).toContain('200');
  expect(await status('other.example')).toContain('403');
  await server.close();
});

test('runs leave /metrics the grace time after they ended or fell silent, and their frames leave the memory', () => {
  let now = 1000;
  const runs = createRunRegistry(300, () => now);
  const connected = afterHello(undefined, helloOf('connected'), now);
  runs.adopt(connected, frameOf(0));
  runs.adopt(
    afterBye(afterHello(undefined, helloOf('finished'), now), { type: 'bye', outcome: 'finished', dropped: 0 }, now),
    frameOf(0),
  );
  runs.adopt(afterSilence(afterHello(undefined, helloOf('silent'), now), now + 100), frameOf(0));
  const exposed = (): string[] => runs.exposed().map((run) => run.record.id);
  expect(exposed()).toEqual(['connected', 'finished', 'silent']);
  now = 1300;
  expect(exposed()).toEqual(['connected', 'silent']);
  now = 1400;
  expect(exposed()).toEqual(['connected']);
  // One that comes back is there again, without a frame until it sends one.
  runs.adopt(afterHello(runs.get('silent'), helloOf('silent'), now));
  expect(runs.exposed().map((run) => run.latest?.sequence)).toEqual([0, undefined]);
});

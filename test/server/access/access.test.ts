/** The parts of access control that need no server: tokens, sessions, addresses, rates, names of hosts. */
import type { IncomingMessage } from 'node:http';
import { hostname } from 'node:os';
import { describe, expect, test, vi } from 'vitest';
import { clientOf, createProxyList, isProxy, limitKey } from '../../../server/access/addresses.ts';
import { crossSiteRefusal, hostRefusal, originRefusal, urlOf } from '../../../server/access/hosts.ts';
import { createBucket, createRateTable } from '../../../server/access/rate.ts';
import { createSessions } from '../../../server/access/sessions.ts';
import { type AccessToken, createKeyring, may, type Scope } from '../../../server/access/tokens.ts';

function requestOf(headers: Record<string, string>, extra: { address?: string; encrypted?: boolean } = {}) {
  const { address = '127.0.0.1', encrypted } = extra;
  const socket = { remoteAddress: address, ...(encrypted === undefined ? {} : { encrypted }) };
  return { headers, socket, url: '/' } as unknown as IncomingMessage;
}

const tokenOf = (name: string, scopes: readonly Scope[]): AccessToken => ({ name, token: `secret-of-${name}`, scopes });

describe('tokens', () => {
  test('are found whole only, and allow what their scopes say', () => {
    const keys = createKeyring([tokenOf('gpu', ['ingest']), tokenOf('ops', ['admin']), tokenOf('scraper', ['read'])]);
    for (const wrong of ['', 'secret-of-gp', 'secret-of-gpuu', 'SECRET-OF-GPU', 'gpu'])
      expect(keys.find(wrong)).toBeUndefined();
    const allowed = ['gpu', 'ops', 'scraper'].map((name) => {
      const found = keys.find(`secret-of-${name}`);
      expect(found?.name).toBe(name);
      return (['ingest', 'read', 'admin'] as const).filter((scope) => may(found ?? { scopes: [] }, scope));
    });
    expect(allowed).toEqual([['ingest'], ['read', 'admin'], ['read']]);
  });

  test('are kept as digests: nothing in the keyring holds one', () => {
    const keys = createKeyring([tokenOf('gpu', ['ingest'])]);
    expect(JSON.stringify([keys, keys.find('secret-of-gpu')])).not.toContain('secret-of-gpu');
  });

  test('that are withdrawn, or changed, end what was opened with them, and others do not', () => {
    const [gpu, ops] = [tokenOf('gpu', ['ingest']), tokenOf('ops', ['admin'])];
    const keys = createKeyring([gpu, ops]);
    const before = [gpu, ops].map(({ token }) => keys.find(token)?.ended.aborted);
    const held = [gpu, ops].map(({ token }) => keys.find(token));
    keys.replace([gpu, { ...ops, scopes: ['read'] }]);
    expect([before, held.map((each) => each?.ended.aborted)]).toEqual([
      [false, false],
      [false, true],
    ]);
    expect(keys.find(ops.token)?.scopes).toEqual(['read']);
  });
});

describe('sessions', () => {
  const principal = (name: string) => createKeyring([tokenOf(name, ['read'])]).find(`secret-of-${name}`) as never;

  test('have ids that cannot be guessed and end with sign-out, their time, or their token', () => {
    vi.useFakeTimers();
    const keys = createKeyring([tokenOf('ops', ['admin'])]);
    const sessions = createSessions({ sessions: 10, sessionSeconds: 60 });
    const open = () => sessions.open(keys.find('secret-of-ops') as never);
    const [out, late, withdrawn] = [open(), open(), open()];
    expect(new Set([out.id, late.id, withdrawn.id]).size).toBe(3);
    expect(out.id).toMatch(/^[A-Za-z0-9_-]{43}$/);
    sessions.end(out.id);
    expect([out, late].map(({ id, session }) => [sessions.find(id) === session, session.ended.aborted])).toEqual([
      [false, true],
      [true, false],
    ]);
    vi.advanceTimersByTime(59_999);
    expect(late.session.ended.aborted).toBe(false);
    vi.advanceTimersByTime(1);
    expect([late.session.ended.aborted, sessions.find(late.id)]).toEqual([true, undefined]);
    const again = open();
    keys.replace([tokenOf('other', ['read'])]);
    expect([again.session.ended.aborted, sessions.find(again.id)]).toEqual([true, undefined]);
    vi.useRealTimers();
  });

  test('are bounded: who signs in too often loses the own oldest one, not those of others', () => {
    const sessions = createSessions({ sessions: 3, sessionSeconds: 60 });
    const [quiet, eager] = [principal('quiet'), principal('eager')];
    const first = sessions.open(quiet);
    const many = Array.from({ length: 5 }, () => sessions.open(eager));
    expect(many.map(({ id }) => sessions.find(id) !== undefined)).toEqual([false, false, false, true, true]);
    expect(sessions.find(first.id)).toBe(first.session);
    sessions.open(principal('third'));
    expect(first.session.ended.aborted).toBe(true);
    sessions.close();
  });
});

describe('rates', () => {
  test('let a burst through, then as much as time brings, and count what was taken on credit', () => {
    let now = 0;
    const bucket = createBucket({ perSecond: 10, burst: 5 }, () => now);
    bucket.take(5);
    expect(bucket.wait(1)).toBe(100);
    now = 100;
    expect(bucket.wait(1)).toBe(0);
    bucket.take(11);
    expect(bucket.wait(0)).toBe(1000);
    now = 1_000_000;
    expect([bucket.wait(5), bucket.full]).toEqual([0, true]);
    expect(bucket.wait(6)).toBe(100);
  });

  test('are kept for a bounded number of addresses, and no longer than they matter', () => {
    let now = 0;
    const table = createRateTable({ perSecond: 1, burst: 2 }, () => now, 100);
    for (let n = 0; n < 1000; n++) table.take(`address ${n}`);
    expect(table.size).toBe(100);
    table.take('guesser');
    table.take('guesser');
    expect([table.wait('guesser'), table.wait('another')]).toEqual([1000, 0]);
    now = 10_000;
    table.take('somebody');
    expect(table.size).toBe(1);
  });
});

describe('addresses', () => {
  test.each([
    ['192.0.2.7', '192.0.2.7'],
    ['::ffff:192.0.2.7', '192.0.2.7'],
    ['2001:db8:1:2:3:4:5:6', '2001:db8:1:2::/64'],
    ['2001:db8:1:2::9', '2001:db8:1:2::/64'],
    ['2001:db8::9', '2001:db8:0:0::/64'],
    ['::1', '0:0:0:0::/64'],
    ['fe80::1%eth0', 'fe80:0:0:0::/64'],
  ])('%s counts as %s', (address, key) => expect(limitKey(address)).toBe(key));

  const isTrusted = createProxyList(['127.0.0.1', '10.0.0.0/8', '2001:db8::/32']);
  test.each([
    ['a stranger says what it likes', '198.51.100.1', '192.0.2.1', '198.51.100.1'],
    ['a proxy is believed', '127.0.0.1', '192.0.2.1', '192.0.2.1'],
    ['as far as proxies wrote it', '127.0.0.1', '6.6.6.6, 192.0.2.1, 10.1.2.3', '192.0.2.1'],
    ['also when the socket takes both families', '::ffff:127.0.0.1', '192.0.2.1', '192.0.2.1'],
    ['nonsense is not followed', '127.0.0.1', '192.0.2.1, unknown', '127.0.0.1'],
    ['without the header it is the proxy', '127.0.0.1', '', '127.0.0.1'],
    ['IPv6 too', '2001:db8::1', '2001:470::7', '2001:470::7'],
  ])('%s', (_title, address, forwarded, client) => {
    const headers: Record<string, string> = forwarded === '' ? {} : { 'x-forwarded-for': forwarded };
    expect(clientOf(requestOf(headers, { address }), isTrusted)).toBe(client);
  });

  test('of proxies are addresses and networks', () => {
    const right = ['127.0.0.1', '10.0.0.0/8', '::1', '2001:db8::/32'];
    const wrong = ['', 'localhost', '10.0.0.0/33', '::/129', '10.0.0.0/', '10.0.0.0/8/8', 'fe80::1%eth0', '1.2.3'];
    expect(right.filter((text) => !isProxy(text)).concat(wrong.filter(isProxy))).toEqual([]);
  });
});

describe('a Host header', () => {
  const loopback = { host: '127.0.0.1', allowedOrigins: ['https://monitor.example:8443'], open: true };
  const lan = { ...loopback, host: '0.0.0.0' };
  const guarded = { ...lan, open: false };
  const isRefused = (rules: typeof loopback, host: string): boolean =>
    hostRefusal(requestOf({ host }), rules) !== undefined;

  test.each([
    'localhost',
    'LOCALHOST:9877',
    '127.0.0.1:1',
    '127.8.8.8',
    '[::1]:9877',
    'a.localhost',
    'monitor.example',
  ])('%s calls a server on loopback', (host) => expect(isRefused(loopback, host)).toBe(false));

  test.each([
    '',
    'evil.example',
    'evil.example:9877',
    'localhost.evil.example',
    '127.0.0.1.evil.example',
    'evil@127.0.0.1',
    '127.0.0.1/evil',
    '127.0.0.1#evil',
    '127.0.0.1:80:80',
    'localhost, evil.example',
    '[::ffff:192.0.2.1]',
    '192.0.2.1',
    'localhost.',
    'monitor.example.',
    'notmonitor.example',
    '127.0.0.999',
  ])('%s does not', (host) => expect(isRefused(loopback, host)).toBe(true));

  test('without tokens calls a server on a network by address or local name; with tokens by any', () => {
    const local = ['192.0.2.1:9877', '[2001:db8::1]', 'localhost', 'gpu-box:9877', hostname()];
    const foreign = ['evil.example', 'evil.example:9877', 'rebound.attacker.test', ''];
    expect(local.filter((host) => isRefused(lan, host))).toEqual([]);
    expect(foreign.filter((host) => !isRefused(lan, host))).toEqual([]);
    expect([...local, ...foreign].filter((host) => isRefused(guarded, host))).toEqual([]);
  });
});

describe('an Origin header', () => {
  const rules = { host: '0.0.0.0', allowedOrigins: ['https://grafana.example'], open: false };
  test.each<[string, string, boolean, boolean]>([
    ['http://box:9877', 'box:9877', false, true],
    ['http://box:9877', 'BOX:9877', false, true],
    ['http://box', 'box:80', false, true],
    ['https://box', 'box', false, true], // behind a proxy that ends TLS
    ['https://box:443', 'box', true, true],
    ['http://box', 'box', true, false], // whoever sits on the wire can be an http page
    ['https://grafana.example', 'box', true, true],
    ['https://grafana.example.evil', 'box', true, false],
    ['http://box:1', 'box:2', false, false],
    ['http://evil', 'box', false, false],
    ['http://[::1]:9877', '[0:0:0:0:0:0:0:1]:9877', false, true],
    ['null', 'box', false, false],
    ['', 'box', false, false],
    ['file://', '', false, false],
    ['data:x', '', false, false],
    ['ftp://box', 'box', false, false],
    ['http://box', '', false, false],
    ['http://a@box', 'a@box', false, false],
  ])('%s at %s, TLS %s: own page %s', (origin, host, encrypted, own) => {
    const request = requestOf({ origin, host }, encrypted ? { encrypted } : {});
    expect(originRefusal(request, rules) === undefined).toBe(own);
    expect(crossSiteRefusal(request, rules) === undefined).toBe(own);
  });

  test('is not all that browsers say of where a page is from', () => {
    const refused = (site: string) =>
      crossSiteRefusal(requestOf({ host: 'box', 'sec-fetch-site': site }), rules) !== undefined;
    expect(['same-origin', 'none', 'same-site', 'cross-site', 'x'].map(refused)).toEqual([
      false,
      false,
      true,
      true,
      true,
    ]);
  });
});

test('a target that is no path has none', () => {
  const path = (url: string) => urlOf({ url } as IncomingMessage)?.pathname;
  expect(['/a?b', '//a', 'http://evil/a', '*', '', 'a', '/a b'].map(path)).toEqual([
    '/a',
    '//a',
    undefined,
    undefined,
    undefined,
    undefined,
    '/a%20b',
  ]);
});

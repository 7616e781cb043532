/** Who gets in, over real sockets: scopes, sessions, withdrawn tokens, guessing, and requests that try to slip past. */
import { once } from 'node:events';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { WebSocket } from 'ws';
import { type AccessToken, type RunningServer, type ServerOptions, startServer } from '../../../server/index.ts';
import { closeCodes } from '../../../src/messages.ts';
import { head, openRaw, statusOf, upgradeHeaders } from '../../support/raw-http.ts';
import { connect, helloOf, join } from '../trainer.ts';

const secrets = { gpu: 'ingest-secret-1', scraper: 'read-secret-22', operator: 'admin-secret-333' };
const tokens: AccessToken[] = [
  { name: 'gpu', token: secrets.gpu, scopes: ['ingest'] },
  { name: 'scraper', token: secrets.scraper, scopes: ['read'] },
  { name: 'operator', token: secrets.operator, scopes: ['admin'] },
];

let server: RunningServer;
const start = async (options: ServerOptions = {}): Promise<void> => {
  server = await startServer({ port: 0, database: ':memory:', tokens, ...options });
};
beforeEach(() => start());
afterEach(() => server.close());

const bearer = (token: string): Record<string, string> => ({ Authorization: `Bearer ${token}` });
const ask = (path: string, options: RequestInit = {}): Promise<Response> => fetch(server.url + path, options);
const status = async (path: string, headers: Record<string, string> = {}, method = 'GET'): Promise<number> =>
  (await ask(path, { headers, method })).status;

function signIn(token: string, headers: Record<string, string> = {}): Promise<Response> {
  const body = JSON.stringify({ token });
  return ask('/api/session', { method: 'POST', headers: { 'Content-Type': 'application/json', ...headers }, body });
}
const cookieOf = (response: Response): string => response.headers.getSetCookie()[0]?.split(';')[0] ?? '';

async function refused(reason: string): Promise<number> {
  const text = await (await ask('/metrics', { headers: bearer(secrets.scraper) })).text();
  return Number(new RegExp(`^outlierscope_server_refused_total\\{reason="${reason}"\\} (\\d+)$`, 'm').exec(text)?.[1]);
}

async function watch(headers: Record<string, string>): Promise<WebSocket | number> {
  const socket = new WebSocket(`${server.url.replace('http', 'ws')}/v1/live`, { headers });
  const opened = once(socket, 'open').then(() => socket);
  const answered = once(socket, 'unexpected-response').then(([, response]) => Number(response.statusCode));
  return Promise.race([opened, answered]);
}

async function greet(token: string | undefined): Promise<number> {
  const trainer = await connect(server.url);
  trainer.send(helloOf('run-1', token === undefined ? {} : { token }));
  const code = await Promise.race([
    trainer.message('welcome').then(
      () => 0,
      () => -1,
    ),
    trainer.closed.then((close) => close.code),
  ]);
  await trainer.close();
  return code;
}

describe('a token', () => {
  test('opens what its scopes say, and nothing else', async () => {
    const opened = async (token: string) => {
      const viewer = await watch(bearer(token));
      if (viewer instanceof WebSocket) viewer.close();
      return [
        await status('/metrics', bearer(token)),
        await status('/api/runs', bearer(token)),
        await status('/api/nothing', bearer(token), 'POST'),
        viewer instanceof WebSocket ? 101 : viewer,
        (await signIn(token)).status,
        await greet(token),
      ];
    };
    expect(await opened(secrets.gpu)).toEqual([403, 403, 403, 403, 403, 0]);
    expect(await opened(secrets.scraper)).toEqual([200, 200, 403, 101, 200, closeCodes.unauthorised]);
    expect(await opened(secrets.operator)).toEqual([200, 200, 404, 101, 200, closeCodes.unauthorised]);
    expect(await refused('token_scope')).toBe(8);
    expect([await greet(undefined), await status('/metrics')]).toEqual([closeCodes.unauthorised, 401]);
    expect(await refused('token_missing')).toBe(2);
    expect(await status('/', {})).toBe(200);
  });

  test('that is withdrawn is out at once: requests, sessions, viewers and trainers; others stay', async () => {
    const trainers = await Promise.all(['a', 'b'].map((id) => join(server.url, helloOf(id, { token: secrets.gpu }))));
    const cookie = cookieOf(await signIn(secrets.scraper));
    const viewers = (await Promise.all([
      watch({ Cookie: cookie }),
      watch(bearer(secrets.scraper)),
      watch(bearer(secrets.operator)),
    ])) as WebSocket[];
    const closes = viewers.slice(0, 2).map((viewer) => once(viewer, 'close'));
    expect(() => server.reload({ tokens: [] })).toThrow(/would let everyone in/);
    expect(() => server.reload({ tokens: [{ name: 'x', token: 'short', scopes: ['read'] }] })).toThrow(/0.token/);
    expect(await status('/api/runs', { Cookie: cookie })).toBe(200);

    server.reload({ tokens: [{ name: 'new', token: 'a-new-secret', scopes: ['ingest'] }, tokens[2] as AccessToken] });
    for (const close of closes) expect((await close)[0]).toBe(closeCodes.unauthorised);
    for (const trainer of trainers)
      expect(await trainer.closed).toEqual({ code: closeCodes.unauthorised, reason: 'the token was withdrawn' });
    expect([await status('/api/runs', { Cookie: cookie }), await status('/api/runs', bearer(secrets.scraper))]).toEqual(
      [401, 401],
    );
    expect([await greet('a-new-secret'), await status('/api/runs', bearer(secrets.operator))]).toEqual([0, 200]);
    expect(viewers[2]?.readyState).toBe(WebSocket.OPEN);
  });

  test('cannot be guessed at will: after a few wrong ones an address has to wait, whatever it shows', async () => {
    await server.close();
    await start({ limits: { failedSignInsPerMinute: 3 } });
    const cookie = cookieOf(await signIn(secrets.scraper));
    expect([
      await status('/metrics', bearer('wrong-secret')),
      (await signIn('wrong-secret')).status,
      await greet('wrong-secret'),
    ]).toEqual([401, 401, closeCodes.unauthorised]);
    const answer = await ask('/metrics', { headers: bearer(secrets.scraper) });
    expect(answer.status).toBe(429);
    expect(Number(answer.headers.get('retry-after'))).toBeGreaterThan(10);
    expect((await signIn(secrets.scraper)).status).toBe(429);
    // A trainer with the right token comes back later.
    expect(await greet(secrets.gpu)).toBe(closeCodes.overloaded);
    // Whoever is in stays in, and asking without a token costs nothing.
    expect([await status('/api/runs', { Cookie: cookie }), await status('/api/runs')]).toEqual([200, 401]);
    const metrics = await (await ask('/metrics', { headers: { Cookie: cookie } })).text();
    expect(metrics).toContain('outlierscope_server_refused_total{reason="token_wrong"} 3\n');
    expect(metrics).toContain('outlierscope_server_refused_total{reason="sign_in_rate"} 3\n');
  });
});

describe('a session', () => {
  test('is told of, and ends with a new sign-in, with signing out, and with its time', async () => {
    expect((await ask('/api/session')).status).toBe(401);
    const first = await signIn(secrets.scraper);
    expect(first.headers.getSetCookie()).toEqual([
      expect.stringMatching(
        new RegExp(`^outlierscope-${server.port}=[A-Za-z0-9_-]{43}; Path=/; Max-Age=43200; HttpOnly; SameSite=Strict$`),
      ),
    ]);
    expect(first.headers.get('cache-control')).toBe('no-store');
    const view = { state: 'signed in', name: 'scraper', scopes: ['read'], expiresAt: expect.any(Number) };
    expect(await first.json()).toEqual(view);
    const cookie = cookieOf(first);
    expect(await (await ask('/api/session', { headers: { Cookie: cookie } })).json()).toEqual(view);

    const second = cookieOf(await signIn(secrets.operator, { Cookie: cookie }));
    expect(second).not.toBe(cookie);
    expect([await status('/api/runs', { Cookie: cookie }), await status('/api/runs', { Cookie: second })]).toEqual([
      401, 200,
    ]);

    const viewer = (await watch({ Cookie: second, Origin: server.url })) as WebSocket;
    const gone = await ask('/api/session', { method: 'DELETE', headers: { Cookie: second } });
    expect([gone.status, gone.headers.getSetCookie()[0]]).toEqual([
      204,
      expect.stringContaining('=; Path=/; Max-Age=0;'),
    ]);
    expect((await once(viewer, 'close'))[0]).toBe(closeCodes.unauthorised);
    expect(await status('/api/runs', { Cookie: second })).toBe(401);

    await server.close();
    await start({ limits: { sessionSeconds: 1 } });
    const short = cookieOf(await signIn(secrets.scraper));
    const watching = (await watch({ Cookie: short })) as WebSocket;
    expect((await once(watching, 'close'))[0]).toBe(closeCodes.unauthorised);
    expect(await status('/api/runs', { Cookie: short })).toBe(401);
  });

  test('cannot be planted: an id that the server did not give opens nothing and is not taken over', async () => {
    const planted = `outlierscope-${server.port}=${'A'.repeat(43)}`;
    expect(await status('/api/runs', { Cookie: planted })).toBe(401);
    const given = cookieOf(await signIn(secrets.scraper, { Cookie: planted }));
    expect([given === planted, await status('/api/runs', { Cookie: planted })]).toEqual([false, 401]);
    const [name, id] = given.split('=');
    const others = [
      `outlierscope-1=${id}`,
      `${name}=${id}x`,
      `${name}=`,
      `${name}`,
      `x${given}`,
      `${planted}; ${given}`,
    ];
    expect(await Promise.all(others.map((Cookie) => status('/api/runs', { Cookie })))).toEqual(others.map(() => 401));
    expect(await status('/api/runs', { Cookie: `other=1; ${given}` })).toBe(200);
  });

  test('changes nothing for a page of another site', async () => {
    const cookie = cookieOf(await signIn(secrets.operator));
    const foreign: Record<string, string>[] = [
      { Origin: 'https://evil.example' },
      { Origin: 'null' },
      { Origin: server.url.replace(/\d+$/, '1') },
      { 'Sec-Fetch-Site': 'cross-site' },
      { 'Sec-Fetch-Site': 'same-site' },
    ];
    for (const headers of foreign) {
      expect(await status('/api/session', { Cookie: cookie, ...headers }, 'DELETE')).toBe(403);
      expect((await signIn(secrets.scraper, headers)).status).toBe(403);
      expect(await status('/api/runs/run-1', { Cookie: cookie, ...headers }, 'DELETE')).toBe(403);
    }
    expect(await watch({ Cookie: cookie, Origin: 'https://evil.example' })).toBe(403);
    expect(await status('/api/session', { Cookie: cookie })).toBe(200);
    const own = { Cookie: cookie, Origin: server.url, 'Sec-Fetch-Site': 'same-origin' };
    expect(await status('/api/session', own, 'DELETE')).toBe(204);
    expect(await refused('origin')).toBe(16);
  });

  test.each<[string, string, number]>([
    ['application/json', '{"token": 5}', 400],
    ['application/json', '"read-secret-22"', 400],
    ['application/json', '{"token": "read-secret-22"', 400],
    ['application/json', '', 400],
    ['text/plain', '{"token": "read-secret-22"}', 400],
    ['application/x-www-form-urlencoded', 'token=read-secret-22', 400],
    ['application/json', JSON.stringify({ token: 'x'.repeat(9000) }), 413],
  ])('is not opened by %s %.40s', async (type, body, expected) => {
    const answer = await ask('/api/session', { method: 'POST', headers: { 'Content-Type': type }, body });
    expect([answer.status, answer.headers.getSetCookie()]).toEqual([expected, []]);
    expect(await answer.text()).not.toContain('secret');
  });

  test('is not needed, nor are tokens, where the server has none', async () => {
    await server.close();
    await start({ tokens: [] });
    const view = { state: 'unneeded', name: 'everyone', scopes: ['ingest', 'read', 'admin'], expiresAt: null };
    expect(await (await ask('/api/session')).json()).toEqual(view);
    const answer = await signIn('whatever');
    expect([await answer.json(), answer.headers.getSetCookie()]).toEqual([view, []]);
  });
});

describe('what tries to slip past', () => {
  const secret = /outlierscope_server|"runs":/;
  const upgrade = (path: string, headers: Record<string, string> = {}): string =>
    head(`GET ${path}`, { ...upgradeHeaders, ...headers });

  test.each<[string, string, number]>([
    ['two slashes', head('GET //metrics'), 404],
    ['two slashes before the API', head('GET //api/runs'), 404],
    ['steps up', head('GET /api/../metrics'), 401],
    ['steps up from the page', head('GET /x/../metrics'), 404],
    ['encoded dots', head('GET /%2e%2e/metrics'), 404],
    ['encoded letters', head('GET /%6detrics'), 404],
    ['encoded slashes', head('GET /api%2fruns'), 404],
    ['other case', head('GET /METRICS'), 401],
    ['other case of the API', head('GET /Api/Runs'), 401],
    ['a slash at the end', head('GET /metrics/'), 401],
    ['a semicolon', head('GET /metrics;x'), 404],
    ['a fragment', head('GET /metrics#x'), 401],
    ['a NUL', head('GET /metrics%00'), 404],
    ['a backslash', head('GET \\metrics'), 400],
    ['the session route as a prefix', head('GET /api/session/../runs'), 401],
    ['HEAD', head('HEAD /metrics'), 401],
    ['OPTIONS', head('OPTIONS /api/runs'), 401],
    ['OPTIONS of everything', head('OPTIONS *'), 400],
    ['TRACE', head('TRACE /metrics'), 401],
    ['an unknown method', head('FETCH /metrics'), 400],
    ['POST', head('POST /metrics'), 401],
    ['a method in a header', head('POST /healthz', { 'X-HTTP-Method-Override': 'GET' }), 405],
    ['an absolute target', head('GET http://localhost/metrics'), 400],
    ['CONNECT', head('CONNECT localhost:80'), 0],
    ['an empty bearer', head('GET /metrics', { Authorization: 'Bearer ' }), 401],
    ['a list of bearers', head('GET /metrics', { Authorization: 'Bearer a, Bearer b' }), 401],
    ['a token of the query', head(`GET /metrics?token=${secrets.scraper}`), 401],
    ['a token of another header', head('GET /metrics', { 'X-Token': secrets.scraper }), 401],
    ['prototype words', head('GET /api/runs?__proto__[token]=x', { Authorization: 'Bearer __proto__' }), 401],
    ['two Host headers', head('GET /healthz', { host: 'evil.example' }), 400],
    ['no Host header', 'GET /healthz HTTP/1.1\r\nConnection: close\r\n\r\n', 400],
    ['HTTP/1.0 without Host', 'GET /metrics HTTP/1.0\r\n\r\n', 403],
    ['a folded header', 'GET /metrics HTTP/1.1\r\nHost: localhost\r\n Authorization: x\r\n\r\n', 400],
    ['two lengths', head('POST /api/session', { 'Content-Length': '5', 'content-length': '6' }), 400],
    ['both kinds of body', head('POST /api/session', { 'Content-Length': '5', 'Transfer-Encoding': 'chunked' }), 400],
    ['an upgrade of something else', upgrade('/metrics'), 404],
    ['an upgrade without a token', upgrade('/v1/live'), 401],
    ['an upgrade with two slashes', upgrade('//v1/live'), 404],
    ['an upgrade with steps up', upgrade('/x/../v1/live'), 401],
    ['an upgrade to an absolute target', upgrade('http://localhost/v1/live'), 400],
    ['an upgrade with a body', upgrade('/v1/ingest', { 'Content-Length': '5' }), 400],
    ['an upgrade with a body in chunks', upgrade('/v1/ingest', { 'Transfer-Encoding': 'chunked' }), 400],
    ['an upgrade by POST', upgrade('/v1/ingest').replace('GET', 'POST'), 405],
    ['an upgrade to another protocol', upgrade('/v1/ingest', { Upgrade: 'h2c' }), 400],
    ['an upgrade of another version', upgrade('/v1/ingest', { 'Sec-WebSocket-Version': '99' }), 400],
    ['an upgrade from nowhere', upgrade('/v1/ingest', { Origin: 'null' }), 403],
    ['an upgrade by a foreign name', upgrade('/v1/ingest', { Host: 'evil.example' }), 403],
  ])('%s does not', async (_title, text, expected) => {
    const raw = await openRaw(server.port, text);
    const answer = await raw.closed;
    expect(statusOf(answer), answer).toBe(expected);
    expect(answer).not.toMatch(secret);
    expect(await status('/healthz')).toBe(200);
  });

  test('requests in a pipeline are judged one by one', async () => {
    const keep = { Connection: 'keep-alive' };
    const right = head('GET /api/runs', { ...keep, ...bearer(secrets.scraper) });
    const raw = await openRaw(server.port, right + head('GET /metrics', keep) + upgrade('/v1/live') + right);
    const answer = await raw.closed;
    // The refused upgrade ends the connection, so answers may be missing; none may be another's.
    const statuses = answer.match(/HTTP\/1\.1 \d+/g) ?? [];
    expect(statuses.filter((each) => each !== 'HTTP/1.1 200' && each !== 'HTTP/1.1 401')).toEqual([]);
    expect(statuses).toContain('HTTP/1.1 401');
    expect(answer).not.toContain('outlierscope_server');
  });

  test('frames sent with the upgrade say hello first like any others', async () => {
    // A masked, empty binary message right behind the request.
    const raw = await openRaw(server.port, upgrade('/v1/ingest'), '\x82\x80\0\0\0\0');
    await expect
      .poll(() => raw.received())
      .toContain(String.fromCharCode(closeCodes.helloExpected >> 8, closeCodes.helloExpected & 255));
    raw.socket.destroy();
  });
});

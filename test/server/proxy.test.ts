/** Behind a real nginx, configured as docs/security.md says. */
import { once } from 'node:events';
import { mkdtempSync, rmSync } from 'node:fs';
import { type RequestOptions, request } from 'node:https';
import { tmpdir } from 'node:os';
import { join as joinPath } from 'node:path';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { WebSocket } from 'ws';
import { type RunningServer, startServer } from '../../server/index.ts';
import { readDocument } from '../docs/markdown.ts';
import { makeCertificate, type TestCertificate } from '../support/certificate.ts';
import { startNginx } from '../support/nginx.ts';
import { freePort } from '../support/process.ts';
import { requireComponents } from '../support/require-components.ts';
import type { TestServer } from '../support/servers.ts';
import { helloOf } from './trainer.ts';

const token = 'secret-behind-nginx';
const name = 'monitor.example.com';

/** The documented block, with this test's port, files and server in the place of the documented ones. */
function serverBlock(port: number, upstream: number, { certificate, key }: TestCertificate): string {
  const block = /```nginx\n.*?^server \{\n(.*?)^\}\n```/ms.exec(readDocument('security.md'))?.[1] ?? '';
  const replaced: [string, string][] = [
    ['listen 443 ssl;', `listen 127.0.0.1:${port} ssl;`],
    ['/etc/ssl/monitor/fullchain.pem', certificate],
    ['/etc/ssl/monitor/privkey.pem', key],
    ['http://127.0.0.1:9877', `http://127.0.0.1:${upstream}`],
  ];
  return replaced.reduce((text, [documented, own]) => {
    if (!text.includes(documented)) throw new Error(`docs/security.md no longer has ${documented}`);
    return text.replace(documented, own);
  }, block);
}

requireComponents(['nginx'])('behind nginx', () => {
  let folder: string;
  let server: RunningServer;
  let nginx: TestServer;
  let port: number;
  let files: TestCertificate;

  beforeEach(async () => {
    folder = mkdtempSync(joinPath(tmpdir(), 'outlierscope-proxy-'));
    files = makeCertificate(folder);
    server = await startServer({
      port: 0,
      database: ':memory:',
      token,
      allowedOrigins: [`https://${name}`],
      trustedProxies: ['127.0.0.1'],
      limits: { failedSignInsPerMinute: 2 },
    });
    port = await freePort();
    nginx = await startNginx(serverBlock(port, server.port, files));
  });
  afterEach(async () => {
    await nginx.stop();
    await server.close();
    rmSync(folder, { recursive: true });
  });

  async function ask(
    path: string,
    options: RequestOptions = {},
    body = '',
  ): Promise<{ status: number; cookie: string }> {
    const asked = request({
      host: '127.0.0.1',
      port,
      path,
      servername: name,
      ca: files.authority,
      agent: false,
      ...options,
      headers: { Host: name, ...options.headers },
    }).end(body);
    const [response] = await once(asked, 'response');
    response.resume();
    return { status: response.statusCode, cookie: response.headers['set-cookie']?.[0] ?? '' };
  }
  const bearer = (secret: string) => ({ Authorization: `Bearer ${secret}` });
  const socketTo = (path: string, headers: Record<string, string>) => {
    const tls = { servername: name, ca: files.authority }; // the types of ws know no servername
    return new WebSocket(`wss://127.0.0.1:${port}${path}`, { ...tls, headers: { Host: name, ...headers } });
  };

  test('the page, the API, sign-in and both websockets work, and foreign pages stay out', async () => {
    expect((await ask('/')).status).toBe(200);
    expect((await ask('/metrics')).status).toBe(401);
    expect((await ask('/metrics', { headers: bearer(token) })).status).toBe(200);
    expect((await ask('/metrics', { headers: { Host: 'evil.example', ...bearer(token) } })).status).toBe(403);

    const body = JSON.stringify({ token });
    const headers = { 'Content-Type': 'application/json', 'Content-Length': String(body.length) };
    const foreign = { headers: { ...headers, Origin: 'https://evil.example' }, method: 'POST' };
    expect((await ask('/api/session', foreign, body)).status).toBe(403);
    const own = { headers: { ...headers, Origin: `https://${name}` }, method: 'POST' };
    const { status, cookie } = await ask('/api/session', own, body);
    expect(status).toBe(200);
    expect(cookie).toMatch(/^__Host-outlierscope-\d+=[\w-]{43}; .*HttpOnly; SameSite=Strict; Secure$/);

    const viewer = socketTo('/v1/live', { Cookie: cookie.split(';')[0] ?? '', Origin: `https://${name}` });
    await once(viewer, 'open');
    const trainer = socketTo('/v1/ingest', {});
    await once(trainer, 'open');
    trainer.send(JSON.stringify(helloOf('run-1', { token })));
    expect(JSON.parse(String((await once(viewer, 'message'))[0]))).toMatchObject({ type: 'run', run: { id: 'run-1' } });
    viewer.close();
    trainer.close();
  });

  test('limits go by the address of the client, which it cannot choose', async () => {
    const guess = (localAddress: string, forged: string) =>
      ask('/metrics', { localAddress, headers: { ...bearer('wrong-secret'), 'X-Forwarded-For': forged } });
    expect((await guess('127.0.0.2', '192.0.2.1')).status).toBe(401);
    expect((await guess('127.0.0.2', '192.0.2.2')).status).toBe(401);
    expect((await guess('127.0.0.2', '192.0.2.3')).status).toBe(429);
    expect((await ask('/metrics', { localAddress: '127.0.0.3', headers: bearer(token) })).status).toBe(200);
  });
});

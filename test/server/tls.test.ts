/** The server with a certificate of its own: https, wss, the page's cookie, renewals, and a trainer that trusts a private authority. */
import { execFile } from 'node:child_process';
import { once } from 'node:events';
import { copyFileSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { request as httpRequest } from 'node:http';
import { type RequestOptions, request } from 'node:https';
import { tmpdir } from 'node:os';
import { join as joinPath, resolve } from 'node:path';
import { connect as connectTls } from 'node:tls';
import { promisify } from 'node:util';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { WebSocket } from 'ws';
import { type RunningServer, startServer } from '../../server/index.ts';
import { launchBrowser } from '../support/browser.ts';
import { makeCertificate, type TestCertificate } from '../support/certificate.ts';
import { requireComponents } from '../support/require-components.ts';
import { helloOf } from './trainer.ts';

const token = 'secret-over-tls';
let folder: string;
let files: TestCertificate;
let server: RunningServer;
beforeEach(async () => {
  folder = mkdtempSync(joinPath(tmpdir(), 'outlierscope-tls-'));
  files = makeCertificate(folder);
  server = await startServer({ port: 0, database: ':memory:', token, tls: files0() });
});
afterEach(async () => {
  await server.close();
  rmSync(folder, { recursive: true });
});
const files0 = () => ({ certificate: files.certificate, key: files.key });

async function ask(options: RequestOptions, body = ''): Promise<{ status: number; cookie: string; text: string }> {
  const asked = request({ host: '127.0.0.1', port: server.port, ca: files.authority, ...options }).end(body);
  const [response] = await once(asked, 'response');
  let text = '';
  for await (const chunk of response) text += String(chunk);
  return { status: response.statusCode, cookie: response.headers['set-cookie']?.[0] ?? '', text };
}

/** The common name of the certificate that the server shows. */
async function shownName(): Promise<unknown> {
  const socket = connectTls({ host: '127.0.0.1', port: server.port, rejectUnauthorized: false });
  await once(socket, 'secureConnect');
  const name = socket.getPeerCertificate().subject.CN;
  socket.destroy();
  return name;
}

test('answers https and wss alone, and its cookie never travels without', async () => {
  expect(server.url).toBe(`https://127.0.0.1:${server.port}`);
  expect((await ask({ path: '/healthz' })).status).toBe(200);
  expect((await ask({ path: '/metrics' })).status).toBe(401);
  expect((await ask({ path: '/metrics', headers: { Authorization: `Bearer ${token}` } })).status).toBe(200);
  await expect(once(httpRequest({ port: server.port, host: '127.0.0.1' }).end(), 'response')).rejects.toThrow();

  const origin = server.url;
  const headers = { 'Content-Type': 'application/json', Origin: origin };
  const signedIn = await ask({ path: '/api/session', method: 'POST', headers }, JSON.stringify({ token }));
  expect(signedIn.cookie).toMatch(
    /^__Host-outlierscope-\d+=[\w-]{43}; Path=\/; Max-Age=43200; HttpOnly; SameSite=Strict; Secure$/,
  );
  const cookie = signedIn.cookie.split(';')[0] ?? '';
  expect((await ask({ path: '/api/runs', headers: { Cookie: cookie } })).status).toBe(200);
  // A page without TLS on this host could have set that one.
  expect((await ask({ path: '/api/runs', headers: { Cookie: cookie.replace('__Host-', '') } })).status).toBe(401);
  const plain = { ...headers, Origin: origin.replace('https', 'http') };
  expect((await ask({ path: '/api/session', method: 'POST', headers: plain }, JSON.stringify({ token }))).status).toBe(
    403,
  );

  const address = `wss://localhost:${server.port}`;
  const trainer = new WebSocket(`${address}/v1/ingest`, { ca: files.authority });
  await once(trainer, 'open');
  trainer.send(JSON.stringify(helloOf('run-1', { token })));
  expect(JSON.parse(String((await once(trainer, 'message'))[0]))).toMatchObject({ type: 'welcome' });
  const viewer = new WebSocket(`${address}/v1/live`, { ca: files.authority, headers: { Cookie: cookie } });
  await once(viewer, 'open');
  viewer.close();
  trainer.close();
});

test('connections are counted as without TLS: room comes back when they close', async () => {
  const crowded = await startServer({
    port: 0,
    database: ':memory:',
    tls: files0(),
    limits: { connectionsPerAddress: 2 },
  });
  const status = async (): Promise<number> =>
    (await ask({ port: crowded.port, path: '/healthz', agent: false })).status;
  for (let round = 0; round < 6; round++) expect(await status()).toBe(200);
  const held = [1, 2].map(() => connectTls({ host: '127.0.0.1', port: crowded.port, rejectUnauthorized: false }));
  await Promise.all(held.map((socket) => once(socket, 'secureConnect')));
  expect(await status()).toBe(503);
  for (const socket of held) socket.destroy();
  await expect.poll(status).toBe(200);
  await crowded.close();
});

describe('a renewed certificate', () => {
  test('is taken on demand; files that are no pair, or gone, leave the earlier one in place', async () => {
    expect(await shownName()).toBe('certificate');
    const next = makeCertificate(folder, 'renewed');
    copyFileSync(next.certificate, files.certificate);
    expect(() => server.reload()).toThrow(
      expect.objectContaining({ code: 'invalid-tls', message: expect.stringContaining('no pair') }),
    );
    expect(await shownName()).toBe('certificate');
    copyFileSync(next.key, files.key);
    server.reload();
    expect(await shownName()).toBe('renewed');
    rmSync(files.key);
    expect(() => server.reload()).toThrow(/cannot read the TLS key .*ENOENT/);
    expect(await shownName()).toBe('renewed');
  });

  test('is noticed without being told', async () => {
    const next = makeCertificate(folder, 'renewed');
    copyFileSync(next.key, files.key);
    copyFileSync(next.certificate, files.certificate);
    await expect.poll(shownName, { timeout: 30_000, interval: 500 }).toBe('renewed');
  });
});

test('certificates that do not do are told at the start, without a word of what is in them', async () => {
  const other = makeCertificate(folder, 'other');
  const junk = joinPath(folder, 'junk.pem');
  writeFileSync(junk, 'SECRET-KEY-MATERIAL');
  for (const [tls, said] of [
    [{ ...files0(), key: joinPath(folder, 'none') }, 'cannot read the TLS key'],
    [{ ...files0(), key: other.key }, 'are no pair'],
    [{ ...files0(), key: junk }, 'are no pair'],
    [{ ...files0(), certificate: junk }, 'are no pair'],
  ] as const) {
    const error: Error = await startServer({ port: 0, database: ':memory:', tls }).then(
      () => new Error('it started'),
      (reason: Error) => reason,
    );
    expect(error).toMatchObject({ code: 'invalid-tls', message: expect.stringContaining(said) });
    expect(error.message).not.toContain('SECRET');
  }
});

test('a trainer trusts a private authority by NODE_EXTRA_CA_CERTS, in its delivery thread too', async () => {
  const program = `
    import * as tf from '@tensorflow/tfjs-core';
    import '@tensorflow/tfjs-backend-cpu';
    import '@tensorflow/tfjs-layers';
    import { outlierMonitor } from 'outlierscope';
    await tf.setBackend('cpu');
    const monitor = outlierMonitor({ url: 'wss://localhost:${server.port}', token: '${token}', sites: [], every: 1 });
    const weights = tf.variable(tf.ones([4, 4]));
    const optimizer = tf.train.sgd(0.01);
    for (let step = 0; step < 3; step++) {
      const loss = optimizer.minimize(() => tf.mean(tf.square(monitor.tap('x', tf.matMul(weights, weights)))), true);
      monitor.stepSync({ loss });
      await new Promise((resolve) => setTimeout(resolve, 800));
    }
    console.log(JSON.stringify(await monitor.close({ deadlineMilliseconds: 2000 })));`;
  const run = async (env: Record<string, string>): Promise<{ stdout: string; stderr: string }> =>
    promisify(execFile)(process.execPath, ['--input-type=module', '-e', program], {
      cwd: resolve(import.meta.dirname, '../..'),
      env: { ...process.env, ...env },
    });
  const trusting = await run({ NODE_EXTRA_CA_CERTS: files.certificate });
  expect(JSON.parse(trusting.stdout.trim().split('\n').at(-1) ?? '')).toMatchObject({ accepted: 3, delivered: 3 });
  const wary = await run({});
  expect(JSON.parse(wary.stdout.trim().split('\n').at(-1) ?? '')).toMatchObject({ accepted: 3, delivered: 0 });
  expect(wary.stderr).toMatch(/self[- ]signed certificate/);
  expect(wary.stderr + trusting.stderr).not.toContain(token);
});

requireComponents(['chromium'])('in a browser', () => {
  test('the page signs in and watches over TLS, by a cookie that is Secure', async () => {
    const browser = await launchBrowser();
    try {
      const context = await browser.newContext({ ignoreHTTPSErrors: true });
      const page = await context.newPage();
      await page.goto(server.url);
      await page.getByLabel('Token').fill(token);
      await page.keyboard.press('Enter');
      await page.getByText('No runs yet').waitFor();
      await expect.poll(() => page.locator('#connection').textContent()).toContain('Live');
      expect(await page.locator('.blank pre').textContent()).toContain(`url: 'wss://127.0.0.1:${server.port}'`);
      expect(await context.cookies()).toMatchObject([
        { name: `__Host-outlierscope-${server.port}`, secure: true, httpOnly: true, sameSite: 'Strict' },
      ]);
    } finally {
      await browser.close();
    }
  });
});

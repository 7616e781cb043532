import { once } from 'node:events';
import { chmodSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join as joinPath, resolve } from 'node:path';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { WebSocket } from 'ws';
import { connect, frameOf, helloOf, join } from '../server/trainer.ts';
import { freePort, type RunningProcess, startProcess } from '../support/process.ts';

let folder: string;
const started: RunningProcess[] = [];
beforeEach(() => {
  folder = mkdtempSync(joinPath(tmpdir(), 'outlierscope-serve-'));
});
afterEach(async () => {
  await Promise.all(started.splice(0).map((process) => process.stop()));
  rmSync(folder, { recursive: true });
});

const root = resolve(import.meta.dirname, '../..');

async function serve(
  args: string[],
  env: Record<string, string> = {},
  readyLine: string | RegExp = /serves http/,
): Promise<{ url: string; process: RunningProcess }> {
  const running = await startProcess({
    name: 'outlierscope serve',
    command: process.execPath,
    args: [
      '--import',
      joinPath(root, 'node_modules/tsx/dist/esm/index.mjs'),
      joinPath(root, 'cli/main.ts'),
      'serve',
      ...args,
    ],
    env: { OUTLIERSCOPE_DATABASE: joinPath(folder, 'runs.db'), ...env },
    cwd: folder,
    readyLine,
  });
  started.push(running);
  return { url: /serves (\S+)/.exec(running.output())?.[1] ?? '', process: running };
}

test('prints the address of the page; SIGTERM and SIGINT end it gracefully', async () => {
  for (const signal of ['SIGTERM', 'SIGINT'] as const) {
    const { url, process: running } = await serve(['--port', '0']);
    const trainer = await join(url, helloOf(`run-${signal}`));
    trainer.sendFrame(frameOf(0));
    await trainer.acknowledged(0);
    process.kill(running.pid, signal);
    expect(await trainer.closed).toMatchObject({ code: 1001 });
    expect(await running.exited).toEqual({ code: 0, signal: null });
    await expect(fetch(url)).rejects.toThrow();
  }
  const { url } = await serve(['--port', '0']);
  const { runs } = (await (await fetch(`${url}/api/runs`)).json()) as { runs: unknown[] };
  expect(runs).toMatchObject([
    { id: 'run-SIGINT', state: 'silent', frames: 1 },
    { id: 'run-SIGTERM', state: 'silent', frames: 1 },
  ]);
});

test('takes its options from the command line before the environment', async () => {
  const [port, other] = [await freePort(), await freePort()];
  const env = {
    OUTLIERSCOPE_PORT: String(other),
    OUTLIERSCOPE_TOKEN: 'from-the-environment',
    OUTLIERSCOPE_HOST: 'localhost',
  };
  const { url } = await serve(['--port', String(port)], env);
  expect(url).toBe(`http://localhost:${port}`);
  expect((await fetch(`${url}/api/runs`)).status).toBe(401);
  expect((await fetch(`${url}/api/runs`, { headers: { Authorization: 'Bearer from-the-environment' } })).status).toBe(
    200,
  );
});

test('reads tokens from a file, again at SIGHUP, and warns when others may read it', async () => {
  const tokensFile = joinPath(folder, 'tokens.json');
  const write = (token: string, mode: number): void => {
    writeFileSync(tokensFile, JSON.stringify([{ name: 'scraper', token, scopes: ['read'] }]));
    chmodSync(tokensFile, mode);
  };
  write('the-first-secret', 0o600);
  const args = ['--port', '0', '--host', '0.0.0.0', '--limit', 'requestsPerSecond=50', '--limit', 'sites=5'];
  const { url, process: running } = await serve([...args, '--tokens-file', tokensFile]);
  const status = async (token: string): Promise<number> =>
    (await fetch(`${url}/api/runs`, { headers: { Authorization: `Bearer ${token}` } })).status;
  expect([await status('the-first-secret'), await status('another-secret')]).toEqual([200, 401]);
  expect(running.output()).not.toContain('chmod');

  write('another-secret', 0o644);
  process.kill(running.pid, 'SIGHUP');
  await expect.poll(() => running.output()).toContain('read again');
  expect([await status('the-first-secret'), await status('another-secret')]).toEqual([401, 200]);
  expect(running.output()).toContain(`every user of this machine may read or write ${tokensFile}: chmod 600`);

  writeFileSync(tokensFile, '[]');
  process.kill(running.pid, 'SIGHUP');
  await expect.poll(() => running.output()).toContain('holds no list of tokens');
  expect(await status('another-secret')).toBe(200);
});

test('takes limits from the environment', async () => {
  const { url } = await serve(['--port', '0'], { OUTLIERSCOPE_LIMITS: 'sites=1, runs=5' });
  const trainer = await connect(url);
  trainer.send(helloOf('run-1'));
  expect(await trainer.closed).toMatchObject({ reason: expect.stringContaining('more than the 1 that it takes') });
});

test('says what is wrong and how to go on, and ends with 1', async () => {
  const { url } = await serve(['--port', '0']);
  const port = new URL(url).port;
  const faults: [string[], string][] = [
    [['--port', port, '--database', ':memory:'], `port ${port} of 127.0.0.1 is in use (stop what listens there`],
    [['--port', '0'], 'in use by another outlierscope server'],
    [['--host', '0.0.0.0'], 'without a token'],
    [['--port', 'eighty'], 'must be a number from 0 to 65535'],
    [['--allow-origin', 'example.com', '--port', '0'], 'allowedOrigins.0: must be an origin like'],
    [['--frobnicate'], "unknown option '--frobnicate'"],
    [['--tls-key', 'key.pem'], '--tls-key without --tls-certificate (give the file of the certificate too'],
    [
      ['--database', ':memory:', '--tls-key', 'none.pem', '--tls-certificate', 'none.pem'],
      'cannot read the TLS certificate none.pem: ENOENT',
    ],
    [['--tokens-file', 'none.json'], 'cannot read the tokens file none.json: ENOENT (write a JSON list such as'],
    [['--limit', 'sites'], 'must be NAME=NUMBER'],
    [['--limit', 'speed=1', '--port', '0'], 'unknown are speed; known are frameBytes, textBytes'],
    [['--trusted-proxy', 'proxy', '--port', '0'], 'trustedProxies.0: must be an address'],
    [['--finished-grace-seconds', 'long', '--port', '0'], 'must be a number from 0 on'],
    [['--finished-grace-seconds', '99999999999999', '--port', '0'], 'finishedGraceSeconds'],
    [['--kurtosis-window-seconds', '0.5', '--port', '0'], 'kurtosisWindowSeconds'],
    [['--retention-days', '40000', '--port', '0'], 'retentionDays'],
    [['--retention-bytes', '1.5', '--port', '0'], 'retentionBytes'],
  ];
  for (const [args, said] of faults) {
    const error = await serve(args).then(
      () => new Error('it started'),
      (reason: Error) => reason,
    );
    expect(error.message).toContain('ended (code 1)');
    expect(error.message).toContain(said);
  }
});

test('reads rules from a file, again at SIGHUP, and keeps to those that it has when the file is wrong', async () => {
  const rulesFile = joinPath(folder, 'rules.json');
  const rule = (name: string, above: number) => ({
    name,
    severity: 'warning',
    metric: 'kurtosis',
    above,
    resolveBelow: above,
    frames: 1,
    why: '',
    next: '',
  });
  const { url, process: running } = await (async () => {
    writeFileSync(rulesFile, JSON.stringify([rule('Low', 5)]));
    return serve(['--port', '0', '--rules', rulesFile]);
  })();
  const names = async () => {
    const { rules } = (await (await fetch(`${url}/api/rules`)).json()) as { rules: { name: string }[] };
    return rules.map(({ name }) => name);
  };
  const alerts = async () => {
    const answer = (await (await fetch(`${url}/api/alerts`)).json()) as { alerts: { rule: string; state: string }[] };
    return answer.alerts.map(({ rule: name, state }) => `${name} ${state}`);
  };
  const trainer = await join(url, helloOf('run-1'));
  trainer.sendFrame(frameOf(0, { kurtosis: 6 }));
  await trainer.acknowledged(0);
  expect([await names(), await alerts()]).toEqual([['Low'], ['Low firing']]);

  const wrong: [string, string][] = [
    ['[{ "name": "Low", }]', `${rulesFile} is not JSON, line 1 column 19`],
    ['{}', 'holds no list of rules'],
    [JSON.stringify([rule('Fine', 5), { ...rule('Bad', 5), above: 'high' }]), '1.above: Invalid input'],
    [JSON.stringify([rule('Twice', 5), rule('Twice', 6)]), 'names of rules must differ'],
  ];
  for (const [text, said] of wrong) {
    writeFileSync(rulesFile, text);
    process.kill(running.pid, 'SIGHUP');
    await expect.poll(() => running.output()).toContain(said);
    await expect
      .poll(() => running.output().split('all stays as it was').length - 1)
      .toBe(wrong.findIndex(([each]) => each === text) + 1);
    expect(await names()).toEqual(['Low']);
  }

  writeFileSync(rulesFile, JSON.stringify([rule('High', 7)]));
  process.kill(running.pid, 'SIGHUP');
  await expect.poll(() => running.output()).toContain('read again');
  expect(await names()).toEqual(['High']);
  // What fired by the rule that is gone ends with the next frame, which the new rule sees.
  trainer.sendFrame(frameOf(1, { kurtosis: 8 }));
  await trainer.acknowledged(1);
  expect(await alerts()).toEqual(['High firing', 'Low resolved']);
  await trainer.close();
});

test('says that it is going while SIGTERM drains it, and takes nobody new', async () => {
  const { url, process: running } = await serve(['--port', '0']);
  expect((await fetch(`${url}/readyz`)).status).toBe(200);
  const trainer = await join(url, helloOf('run-1'));
  trainer.sendFrame(frameOf(0));
  trainer.socket.pause(); // it does not answer the goodbye, so that the end takes a second
  process.kill(running.pid, 'SIGTERM');
  await expect.poll(async () => (await fetch(`${url}/readyz`)).status, { interval: 10 }).toBe(503);
  expect(await (await fetch(`${url}/readyz`)).json()).toMatchObject({ title: 'Draining' });
  expect((await fetch(`${url}/healthz`)).status).toBe(200);
  await expect(once(new WebSocket(`${url.replace('http', 'ws')}/v1/ingest`), 'open')).rejects.toThrow('503');
  trainer.socket.resume();
  expect(await trainer.closed).toMatchObject({ code: 1001 });
  expect(trainer.messages).toContainEqual({ type: 'acknowledge', lastSequence: 0 });
  expect(await running.exited).toEqual({ code: 0, signal: null });
});

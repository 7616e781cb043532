/** No secret comes out of a server again: after good and bad use its output, its files and its answers are searched for them. */
import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join as joinPath, resolve } from 'node:path';
import { expect, test } from 'vitest';
import { WebSocket } from 'ws';
import { connect, frameOf, helloOf, join } from '../server/trainer.ts';
import { startProcess } from '../support/process.ts';
import { openRaw } from '../support/raw-http.ts';

const secrets = {
  ingest: 'SECRET-of-the-trainers',
  admin: 'SECRET-of-the-operator',
  wrong: 'SECRET-that-is-no-token',
};

test('tokens, right and wrong, are in no output, no file, no answer and no metric', async () => {
  const folder = mkdtempSync(joinPath(tmpdir(), 'outlierscope-secrets-'));
  const tokensFile = joinPath(folder, 'tokens.json');
  const list = [
    { name: 'trainers', token: secrets.ingest, scopes: ['ingest'] },
    { name: 'operator', token: secrets.admin, scopes: ['admin'] },
  ];
  writeFileSync(tokensFile, JSON.stringify(list), { mode: 0o644 });
  const root = resolve(import.meta.dirname, '../..');
  const running = await startProcess({
    name: 'outlierscope serve',
    command: process.execPath,
    args: [joinPath(root, 'dist/cli/main.js'), 'serve', '--port', '0', '--tokens-file', tokensFile],
    env: { OUTLIERSCOPE_DATABASE: joinPath(folder, 'runs.db') },
    cwd: folder,
    readyLine: /serves http/,
  });
  const answers: string[] = [];
  try {
    const url = /serves (\S+)/.exec(running.output())?.[1] ?? '';
    const port = Number(new URL(url).port);
    const ask = async (path: string, options: RequestInit = {}): Promise<Response> => {
      const response = await fetch(url + path, options);
      // The cookie's value is a secret of its own, and goes to whoever signed in alone.
      const headers = [...response.headers].filter(([name]) => name !== 'set-cookie');
      answers.push(JSON.stringify(headers), await response.text());
      return response;
    };
    const bearer = (token: string) => ({ headers: { Authorization: `Bearer ${token}` } });
    const signIn = (body: string) =>
      ask('/api/session', { method: 'POST', headers: { 'Content-Type': 'application/json' }, body });

    // Good use.
    const trainer = await join(url, helloOf('run-1', { token: secrets.ingest, config: { layers: 2 } }));
    trainer.sendFrame(frameOf(0));
    await trainer.acknowledged(0);
    answers.push(JSON.stringify(trainer.messages));
    const cookie =
      (await signIn(JSON.stringify({ token: secrets.admin }))).headers.getSetCookie()[0]?.split(/[=;]/) ?? [];
    const session = cookie[1] ?? '';
    expect(session).toHaveLength(43);

    // Bad use: wrong tokens, right ones in wrong places, and messages that cannot be read.
    await ask('/metrics', bearer(secrets.wrong));
    await ask('/metrics', bearer(secrets.ingest));
    await ask(`/api/runs?token=${secrets.admin}`);
    await signIn(`{"token": "${secrets.admin}"`);
    await signIn(JSON.stringify({ token: secrets.wrong }));
    await signIn(JSON.stringify({ secret: secrets.wrong }));
    for (const hello of [
      helloOf('run-2', { token: secrets.wrong }),
      helloOf('run-2', { token: secrets.admin }),
      { ...helloOf('run-2', { token: secrets.ingest }), metrics: 5 },
      { ...helloOf('run-1', { token: secrets.ingest }), metrics: ['rms'] },
      { ...helloOf('run-2'), token: { nested: secrets.ingest } },
    ]) {
      const bad = await connect(url);
      bad.send(hello);
      answers.push((await bad.closed).reason);
    }
    await (
      await openRaw(port, `GET /metrics HTTP/1.1\r\nHost: localhost\r\nAuthorization: ${secrets.admin}\x01\r\n\r\n`)
    ).closed;
    const viewer = new WebSocket(`ws://localhost:${port}/v1/live?token=${secrets.admin}`);
    await new Promise((resolve) => viewer.on('error', resolve));
    const hangUp = async (said: RegExp, times: number): Promise<void> => {
      process.kill(running.pid, 'SIGHUP');
      await expect.poll(() => running.output().match(said)?.length).toBe(times);
    };
    await hangUp(/read again/g, 1);
    writeFileSync(tokensFile, `[{"token": "${secrets.ingest}", nonsense`);
    await hangUp(/all stays as it was/g, 1);
    writeFileSync(tokensFile, JSON.stringify([{ ...list[0], scope: 'ingest' }, list[1]]));
    await hangUp(/all stays as it was/g, 2);

    for (const path of ['/metrics', '/api/runs', '/api/runs/run-1', '/api/alerts', '/api/session', '/readyz'])
      expect((await ask(path, bearer(secrets.admin))).status).toBe(200);
    await trainer.close();

    const stored = readdirSync(folder).filter((file) => file !== 'tokens.json');
    expect(stored).toContain('runs.db');
    const places = {
      output: running.output(),
      answers: answers.join('\n'),
      ...Object.fromEntries(stored.map((file) => [file, readFileSync(joinPath(folder, file), 'latin1')])),
    };
    expect(places.output).toContain('chmod 600');
    for (const [place, text] of Object.entries(places)) {
      expect(text, place).not.toMatch(/SECRET/);
      expect(text.includes(session), place).toBe(false);
    }
    // The search would have found something.
    expect(Object.values(places).slice(2).join()).toContain('name of run-1');
  } finally {
    await running.stop();
    rmSync(folder, { recursive: true });
  }
});

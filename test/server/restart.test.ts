/** The server ends and starts again on the same database: nothing that was acknowledged is lost, nothing is doubled. */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join as joinPath } from 'node:path';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { type RunningServer, startServer } from '../../server/index.ts';
import type { Alert } from '../../src/messages.ts';
import { startProcess } from '../support/process.ts';
import { frameOf, helloOf, join } from './trainer.ts';

let folder: string;
let database: string;
let server: RunningServer;
const start = async (): Promise<void> => {
  server = await startServer({ port: 0, database });
};
beforeEach(async () => {
  folder = mkdtempSync(joinPath(tmpdir(), 'outlierscope-restart-'));
  database = joinPath(folder, 'runs.db');
  await start();
});
afterEach(async () => {
  await server.close();
  rmSync(folder, { recursive: true });
});

const alerts = async (): Promise<Alert[]> =>
  ((await (await fetch(`${server.url}/api/alerts`)).json()) as { alerts: Alert[] }).alerts;
const run = async (id: string): Promise<unknown> => (await fetch(`${server.url}/api/runs/${id}`)).json();

test('runs and frames are kept, and a run that was connected is silent until its trainer comes back', async () => {
  const trainer = await join(server.url, helloOf('run-1'));
  for (const sequence of [0, 1, 2]) trainer.sendFrame(frameOf(sequence));
  await trainer.acknowledged(2);
  const done = await join(server.url, helloOf('run-2'));
  done.send({ type: 'bye', outcome: 'finished', dropped: 3 });
  await done.closed;
  await server.close();
  await start();
  expect(await run('run-1')).toMatchObject({ state: 'silent', frames: 3, step: 20, latest: { sequence: 2 } });
  expect(await run('run-2')).toMatchObject({ state: 'finished', dropped: 3, latest: null });
  const metrics = await (await fetch(`${server.url}/metrics`)).text();
  expect(metrics).toContain('outlierscope_kurtosis{run="run-1",site="h0/residual"} 1.5\n');

  const again = await join(server.url, helloOf('run-1'));
  expect(again.messages[0]).toMatchObject({ lastSequence: 2 });
  again.sendFrame(frameOf(2));
  again.sendFrame(frameOf(3));
  await again.acknowledged(3);
  expect(await run('run-1')).toMatchObject({ state: 'connected', frames: 4 });
  await again.close();
});

test('a rule goes on where it stood: the alert that needs two frames fires with the second, after the restart', async () => {
  const before = await join(server.url, helloOf('run-1'));
  before.sendFrame(frameOf(0, { kurtosis: 9 }));
  await before.acknowledged(0);
  expect(await alerts()).toEqual([]);
  await server.close();
  await start();
  const after = await join(server.url, helloOf('run-1'));
  after.sendFrame(frameOf(1, { kurtosis: 9 }));
  expect(await after.message('alert')).toMatchObject({ id: 'run-1/KurtosisHigh/10', state: 'firing' });
  expect(await alerts()).toHaveLength(1);
  await after.close();
});

test('an alert that fires is not raised again after the restart, and ends once', async () => {
  const before = await join(server.url, helloOf('run-1'));
  for (const sequence of [0, 1]) before.sendFrame(frameOf(sequence, { kurtosis: 9 }));
  await before.message('alert');
  await server.close();
  await start();
  const after = await join(server.url, helloOf('run-1'));
  // The last frames again, as if their acknowledgement had been lost; then two more that are high, then two that are not.
  for (const [sequence, kurtosis] of [9, 9, 9, 9, 1, 1].entries()) after.sendFrame(frameOf(sequence, { kurtosis }));
  await after.acknowledged(5);
  await after.message('alert');
  expect(after.messages.filter(({ type }) => type === 'alert')).toEqual([
    expect.objectContaining({ state: 'resolved', step: 50 }),
  ]);
  expect(await alerts()).toEqual([expect.objectContaining({ id: 'run-1/KurtosisHigh/10', state: 'resolved' })]);
  await after.close();
});

test('a server that is killed has kept every frame that it acknowledged', async () => {
  await server.close();
  const serve = await startProcess({
    name: 'outlierscope serve',
    command: process.execPath,
    args: ['--import', 'tsx', 'cli/main.ts', 'serve', '--port', '0', '--database', database],
    readyLine: /serves http/,
  });
  const url = /serves (\S+)/.exec(serve.output())?.[1] ?? '';
  const trainer = await join(url, helloOf('run-1'));
  let sequence = 0;
  const feed = setInterval(() => {
    for (let count = 0; count < 20; count++) trainer.sendFrame(frameOf(sequence++));
  }, 1);
  await trainer.acknowledged(500);
  process.kill(serve.pid, 'SIGKILL');
  await trainer.closed;
  clearInterval(feed);
  const acknowledged = Math.max(
    ...trainer.messages.map((message) => (message.type === 'acknowledge' ? message.lastSequence : -1)),
  );
  await serve.exited;

  await start();
  // The killed server could not write that its trainer is gone.
  expect(await run('run-1')).toMatchObject({ state: 'silent' });
  const again = await join(server.url, helloOf('run-1'));
  const { lastSequence } = await again.message('welcome');
  expect(lastSequence).toBeGreaterThanOrEqual(acknowledged);
  expect(await run('run-1')).toMatchObject({ frames: lastSequence + 1, latest: { sequence: lastSequence } });
  const series = (await (await fetch(`${server.url}/api/runs/run-1/series?metric=kurtosis&points=10000`)).json()) as {
    steps: number[];
  };
  expect(series.steps).toEqual(Array.from({ length: lastSequence + 1 }, (_, index) => index * 10));
  await again.close();
});

/** The servers and the clients of the benchmark, each in a process of its own. */
import { type ChildProcess, fork } from 'node:child_process';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { freePort, startProcess } from '../../test/support/process.ts';
import { startPushgateway, startVictoriaMetrics } from '../../test/support/servers.ts';
import type { Job, Taken } from './load.ts';

export interface Fleet {
  readonly ports: { readonly outlierscope: number; readonly victoriametrics: number; readonly pushgateway: number };
  /** Versions of the other servers, for the record. */
  readonly versions: Readonly<Record<string, string>>;
  /** Has the clients do a job. */
  load(job: Job): Promise<Taken>;
  stop(): Promise<void>;
}

export async function startFleet(): Promise<Fleet> {
  const folder = await mkdtemp(join(tmpdir(), 'outlierscope-bench-'));
  const stops: (() => Promise<unknown>)[] = [() => rm(folder, { recursive: true, force: true })];
  const stop = async (): Promise<void> => {
    for (const each of stops.splice(0).reverse()) await each();
  };
  try {
    const port = await freePort();
    const ours = await startProcess({
      name: 'outlierscope serve',
      command: process.execPath,
      args: [fileURLToPath(new URL('../../dist/cli/main.js', import.meta.url)), 'serve', '--port', String(port)],
      cwd: folder,
      readyUrl: `http://127.0.0.1:${port}/readyz`,
      stopWithinMs: 30_000,
    });
    stops.push(() => ours.stop());
    const victoriametrics = await startVictoriaMetrics();
    stops.push(() => victoriametrics.stop());
    const pushgateway = await startPushgateway();
    stops.push(() => pushgateway.stop());
    const client = fork(fileURLToPath(new URL('./load.ts', import.meta.url)), { execArgv: ['--import', 'tsx'] });
    stops.push(async () => client.kill());
    return {
      ports: { outlierscope: port, victoriametrics: portOf(victoriametrics.url), pushgateway: portOf(pushgateway.url) },
      versions: {
        victoriametrics: await versionOf(`${victoriametrics.url}/metrics`, /vm_app_version\{version="([^"]+)"/),
        pushgateway: await versionOf(`${pushgateway.url}/metrics`, /pushgateway_build_info\{.*?,version="([^"]+)"/),
      },
      load: (job) => ask(client, job),
      stop,
    };
  } catch (error) {
    await stop();
    throw error;
  }
}

function ask(client: ChildProcess, job: Job): Promise<Taken> {
  return new Promise((resolve, reject) => {
    const ended = (code: number | null): void => reject(new Error(`the clients' process ended with code ${code}`));
    client.once('exit', ended);
    client.once('message', (answer: Taken | { error: string }) => {
      client.off('exit', ended);
      if ('error' in answer) reject(new Error(`the clients failed: ${answer.error}`));
      else resolve(answer);
    });
    client.send(job);
  });
}

const portOf = (url: string): number => Number(new URL(url).port);

async function versionOf(url: string, pattern: RegExp): Promise<string> {
  return pattern.exec(await (await fetch(url)).text())?.[1] ?? 'a build that does not tell its version';
}

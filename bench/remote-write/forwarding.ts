/** The receiver, the database and the senders of the benchmark `remote-write`, each sender in a process of its own that ends with its arm. */
import { fork } from 'node:child_process';
import { copyFile, mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { afterHello, type RunRecord } from '../../server/run-record.ts';
import { openSqliteStore } from '../../server/sqlite-store.ts';
import { encodeFrame } from '../../src/frame.ts';
import { mustFindComponent } from '../../test/support/components.ts';
import { freePort, startProcess } from '../../test/support/process.ts';
import { startVictoriaMetrics } from '../../test/support/servers.ts';
import type { Job, Taken } from '../ingest/load.ts';
import { helloOf, metrics, runIdOf, runs, samplesPerFrame, timeOf, valuesOf } from '../ingest/workload.ts';
import type { Arm } from '../remote-write.ts';
import type { Result } from '../support/bench.ts';

export interface Forwarding {
  /** Brings all samples to the receiver; samples a second. */
  readonly run: Readonly<Record<Arm, () => Promise<number>>>;
  readonly details: Result['details'];
  stop(): Promise<void>;
}

/** As vmagent has them on this machine: blocks of at most 10,000 rows, two queues for each core. */
const batchSamples = 10_000;
const shards = 4;
const packedDepth = 10;
const pollMilliseconds = 50;
/** Longest wait for the receiver to have everything. */
const patienceMilliseconds = 120_000;

export async function prepareForwarding(frames: number, random: () => number): Promise<Forwarding> {
  const folder = await mkdtemp(join(tmpdir(), 'outlierscope-bench-'));
  const full = join(folder, 'full.db');
  await fill(full, frames, random);
  const receiver = await startVictoriaMetrics();
  const writeUrl = `${receiver.url}/api/v1/write`;
  /** With loss, step and info of each frame. */
  const ours = runs * frames * (samplesPerFrame + 3);
  /** In whole requests. */
  const theirs = Math.floor((runs * frames * samplesPerFrame) / batchSamples) * batchSamples;

  async function outlierscope(): Promise<number> {
    const database = join(folder, 'arm.db');
    await copyFile(full, database);
    const before = await rowsOf(receiver.url);
    const server = await startProcess({
      name: 'outlierscope serve',
      command: process.execPath,
      args: [
        ...[fileURLToPath(new URL('../../dist/cli/main.js', import.meta.url)), 'serve', '--port', '0'],
        ...['--database', database, '--remote-write', writeUrl],
        ...['--remote-write-shards', String(shards), '--remote-write-batch', String(batchSamples)],
      ],
    });
    try {
      return await rateOf(receiver.url, before, ours);
    } finally {
      await server.stop();
      for (const suffix of ['', '-wal', '-shm', '-owner']) await rm(`${database}${suffix}`, { force: true });
    }
  }

  async function vmagent(depth: number): Promise<number> {
    const { path, environment } = mustFindComponent('vmagent');
    const port = await freePort();
    const agent = await startProcess({
      name: 'vmagent',
      command: path,
      env: environment,
      args: [
        `-remoteWrite.url=${writeUrl}`,
        `-remoteWrite.tmpDataPath=${join(folder, 'vmagent')}`,
        `-httpListenAddr=127.0.0.1:${port}`,
        '-http.maxGracefulShutdownDuration=100ms',
      ],
      readyUrl: `http://127.0.0.1:${port}/health`,
    });
    try {
      const before = await rowsOf(receiver.url);
      const batch = { samples: batchSamples, depth };
      const job: Job = {
        ...{ kind: 'remote write', port, connections: shards, milliseconds: patienceMilliseconds },
        ...{ samples: theirs, batch },
      };
      const [rate] = await Promise.all([rateOf(receiver.url, before, theirs), load(job)]);
      return rate;
    } finally {
      await agent.stop();
      await rm(join(folder, 'vmagent'), { recursive: true, force: true });
    }
  }

  return {
    run: { outlierscope, vmagent: () => vmagent(1), vmagent_packed: () => vmagent(packedDepth) },
    details: {
      series: runs * samplesPerFrame,
      frames: runs * frames,
      outlierscope: `${shards} shards, ${batchSamples} samples a request, frames of a run together; loss, step and info come on top and count`,
      vmagent: `${await versionOf(receiver.url)} and its defaults; it gets ${batchSamples} samples a request over ${shards} connections, one of a series`,
      vmagent_packed: `the same with ${packedDepth} samples of a series in a request`,
    },
    async stop() {
      await receiver.stop();
      await rm(folder, { recursive: true, force: true });
    },
  };
}

/** A store as a server leaves it behind, its runs in the middle of their training. */
async function fill(path: string, frames: number, random: () => number): Promise<void> {
  const store = openSqliteStore(path);
  const start = Date.now() - 24 * 60 * 60 * 1000;
  const values = Array.from({ length: 32 }, () => valuesOf(random));
  for (let run = 0; run < runs; run++) {
    const { id, description, progress } = afterHello(undefined, helloOf(runIdOf('stored', run)), start);
    const done: RunRecord['progress'] = { ...progress, lastSequence: frames - 1, frames, lastFrameAt: start };
    await store.commit({
      runs: [{ id, description, progress: done }],
      frames: Array.from({ length: frames }, (_, sequence) => ({
        ...{ runId: id, sequence, step: sequence },
        bytes: encodeFrame(
          {
            ...{ sequence, step: sequence, time: timeOf(start, sequence), scalars: Float64Array.of(2 + random()) },
            values: values[(run + sequence) % values.length] as Float32Array,
            topNeurons: { count: 0, indices: new Uint32Array(), shares: new Float32Array() },
          },
          metrics.length,
        ),
      })),
      alerts: [],
    });
  }
  await store.close();
}

/** From the first rows that the receiver counts to the last of them. */
async function rateOf(url: string, before: number, samples: number): Promise<number> {
  const deadline = performance.now() + patienceMilliseconds;
  let first: { at: number; rows: number } | undefined;
  for (;;) {
    const rows = (await rowsOf(url)) - before;
    const at = performance.now();
    if (rows > 0) first ??= { at, rows };
    if (rows >= samples && first !== undefined) return (rows - first.rows) / ((at - first.at) / 1000);
    if (at > deadline) throw new Error(`the receiver has ${rows} of ${samples} samples`);
    await sleep(pollMilliseconds);
  }
}

async function rowsOf(url: string): Promise<number> {
  const text = await (await fetch(`${url}/metrics`)).text();
  return Number(/^vm_rows_inserted_total\{type="promremotewrite"\} (\S+)/m.exec(text)?.[1] ?? 0);
}

async function versionOf(url: string): Promise<string> {
  const text = await (await fetch(`${url}/metrics`)).text();
  return /vm_app_version\{version="([^"]+)"/.exec(text)?.[1] ?? 'a build that does not tell its version';
}

function load(job: Job): Promise<Taken> {
  return new Promise((resolve, reject) => {
    const child = fork(fileURLToPath(new URL('../ingest/load.ts', import.meta.url)), { execArgv: ['--import', 'tsx'] });
    child.once('message', (answer: Taken | { error: string }) => {
      child.kill();
      if ('error' in answer) reject(new Error(`the client failed: ${answer.error}`));
      else resolve(answer);
    });
    child.once('exit', (code) => reject(new Error(`the client's process ended with code ${code}`)));
    child.send(job);
  });
}

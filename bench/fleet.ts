/**
 * A thousand trainers on one server: whether every frame arrives, how long until it is durable, and what the server takes for it.
 *
 * The trainers are plain websocket clients in two processes beside the server's; a frame has 100 sites x 12 metrics. The time of a
 * frame goes from its sending to the acknowledgement, in the client, whose own delays are in it. What is lost is told by the
 * database, which is checked as `outlierscope verify` does.
 */
import { fork } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { verifyDatabase } from '../server/verify.ts';
import type { Job, Taken } from './fleet/clients.ts';
import type { Bench, Result, Setting } from './support/bench.ts';
import { startServe } from './support/serve.ts';

const lengths = {
  full: { clients: 1000, milliseconds: 30_000 },
  quick: { clients: 50, milliseconds: 4000 },
} as const;
const beatMilliseconds = 2000;
const clientProcesses = 2;

export const fleet: Bench = {
  name: 'fleet',
  description: '1,000 trainers connected, a frame each every 2 s: frames lost, time to durable, memory of the server',
  requirements: [
    { figure: 'lost', must: 'at most', limit: 0 },
    { figure: 'p99_ms', must: 'at most', limit: 250 },
    { figure: 'memory_mb', must: 'at most', limit: 512 },
  ],
  run: measure,
};

async function measure({ length, progress }: Setting): Promise<Result> {
  const { clients, milliseconds } = lengths[length];
  const folder = mkdtempSync(join(tmpdir(), 'outlierscope-fleet-'));
  const database = join(folder, 'runs.db');
  const { server, port } = await startServe(database);
  try {
    const perProcess = clients / clientProcesses;
    const began = { at: performance.now(), processor: processorSeconds(server.pid) };
    progress(`${clients} trainers for ${milliseconds / 1000} s`);
    const taken = await Promise.all(
      Array.from({ length: clientProcesses }, (_, index) =>
        load({ port, firstClient: index * perProcess, clients: perProcess, beatMilliseconds, milliseconds }),
      ),
    );
    const seconds = (performance.now() - began.at) / 1000;
    const processor = processorSeconds(server.pid) - began.processor;
    const memory = peakMemoryBytes(server.pid);
    const { sound, runs } = await verifyDatabase(database);
    if (!sound) throw new Error('the database is not sound');
    const sent = sum(taken.map((each) => each.sent));
    const latencies = taken.flatMap((each) => each.latencies).toSorted((a, b) => a - b);
    const percentile = (share: number): number => latencies[Math.ceil(share * latencies.length) - 1] ?? Number.NaN;
    return {
      figures: {
        lost: sent - sum(runs.map((run) => run.frames)),
        p99_ms: percentile(0.99),
        memory_mb: memory / 1e6,
        p50_ms: percentile(0.5),
        longest_ms: percentile(1),
        processor_share: processor / seconds,
      },
      intervals: {},
      details: {
        trainers: runs.length,
        frames_sent: sent,
        frames_acknowledged: sum(taken.map((each) => each.acknowledged)),
        seconds,
        lost: 'frames sent that are not in the database once the trainers are gone',
        memory_mb: 'most resident memory of the server process there ever was',
        processor_share: "the server's processor time over the time from the first connection to the last goodbye",
      },
    };
  } finally {
    await server.stop();
    rmSync(folder, { recursive: true });
  }
}

function load(job: Job): Promise<Taken> {
  return new Promise((resolve, reject) => {
    const child = fork(fileURLToPath(new URL('./fleet/clients.ts', import.meta.url)), {
      execArgv: ['--import', 'tsx'],
    });
    child.once('message', (taken: Taken) => resolve(taken));
    child.once('exit', (code) => reject(new Error(`the trainers' process ended with code ${code}`)));
    child.send(job);
  });
}

/** Of all threads of a process, in user and kernel mode. */
function processorSeconds(pid: number): number {
  // Fields 14 and 15 of proc(5), in hundredths of a second; the name before them may hold spaces.
  const fields = readFileSync(`/proc/${pid}/stat`, 'utf8').split(') ').at(-1)?.split(' ') ?? [];
  return (Number(fields[11]) + Number(fields[12])) / 100;
}

function peakMemoryBytes(pid: number): number {
  return Number(/^VmHWM:\s+(\d+) kB/m.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))?.[1]) * 1024;
}

function sum(numbers: readonly number[]): number {
  return numbers.reduce((total, number) => total + number, 0);
}

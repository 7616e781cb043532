/**
 * 200,000 spoiled messages against a live server: it takes or refuses each one with a documented code, does not crash, does not grow,
 * and serves a trainer that does nothing wrong all the while. OUTLIERSCOPE_TEST_SEED repeats a run; the seed is printed.
 */
import { existsSync, mkdtempSync, readFileSync, rmSync, statfsSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join as joinPath } from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import type { RefusalReason } from '../../server/refusals.ts';
import { verifyDatabase } from '../../server/verify.ts';
import { closeCodes } from '../../src/messages.ts';
import { main } from '../cli/exporting.ts';
import { type RunningProcess, startProcess } from '../support/process.ts';
import { helloBytes, type Mutation, mutationOf } from './mutations.ts';
import { type Answer, marker, upgradeRequest, visit } from './raw-socket.ts';
import { frameOf, helloOf, join } from './trainer.ts';

const count = 200_000;
const seed = Number(process.env['OUTLIERSCOPE_TEST_SEED'] ?? Math.floor(Math.random() * 2 ** 31));
const connectionsAtOnce = 48;
/** Messages of one connection: those after the first that is refused go over the next. */
const messagesOfConnection = 8;
/** Runs are left after so many messages, all connections counted, so that their lists do not fill up. */
const messagesOfRun = 10_000;

let folder: string;
let database: string;
let server: RunningProcess;
let url: string;
beforeAll(async () => {
  folder = mkdtempSync(joinPath(folderInMemory() ?? tmpdir(), 'outlierscope-mutations-'));
  database = joinPath(folder, 'runs.db');
  server = await startProcess({
    name: 'outlierscope serve',
    command: process.execPath,
    args: [main, 'serve', '--port', '0', '--database', database],
    readyLine: /serves http/,
  });
  url = /serves (\S+)/.exec(server.output())?.[1] ?? '';
});
afterAll(async () => {
  await server.stop();
  rmSync(folder, { recursive: true });
});

/** Every connection is two transactions, and how fast a disk syncs is not what is tested. */
function folderInMemory(): string | undefined {
  const path = '/dev/shm';
  if (!existsSync(path)) return undefined;
  const { bavail, bsize } = statfsSync(path);
  return bavail * bsize > 512 * 2 ** 20 ? path : undefined;
}

interface Tally {
  taken: number;
  /** By close code, or HTTP status. */
  readonly refused: Map<number, number>;
  /** The client ended while the server waited for the rest. */
  cut: number;
}

test(`${count} spoiled messages are each taken or refused with a reason (seed ${seed})`, {
  timeout: 600_000,
}, async () => {
  console.log(`OUTLIERSCOPE_TEST_SEED=${seed}`);
  const port = Number(new URL(url).port);
  const good = await goodTrainer();
  const tally: Tally = { taken: 0, refused: new Map(), cut: 0 };
  let next = 0;
  const worker = async (slot: number): Promise<void> => {
    let queue: Mutation[] = [];
    let runId = '';
    for (;;) {
      while (queue.length < messagesOfConnection && next < count) {
        const number = next++;
        if (number % messagesOfRun < connectionsAtOnce || runId === '') runId = `attack-${slot}-${number}`;
        queue.push(mutationOf(seed, number, runId));
      }
      if (queue.length === 0) return;
      const trip = tripOf(queue, runId);
      const answer = await visit(port, trip);
      queue = queue.slice(judge(trip.mutations, answer, tally));
    }
  };
  const warm = count / 10;
  let memoryWarm = 0;
  const watch = setInterval(() => {
    if (memoryWarm === 0 && next > warm) memoryWarm = memoryOf(server.pid).now;
  }, 50);
  await Promise.all(Array.from({ length: connectionsAtOnce }, (_, slot) => worker(slot)));
  clearInterval(watch);

  const sum = tally.taken + tally.cut + [...tally.refused.values()].reduce((total, each) => total + each, 0);
  console.log(JSON.stringify({ ...tally, refused: Object.fromEntries(tally.refused) }));
  expect(sum).toBe(count);
  // Every way out was taken: else the mutations are not what they should be.
  for (const code of [4400, 4402, 4406, 4413, 1002, 1007, 1009, 400, 404])
    expect(tally.refused.get(code), String(code)).toBeGreaterThan(0);
  expect(tally.taken).toBeGreaterThan(count / 10);

  const memory = memoryOf(server.pid);
  console.log(JSON.stringify({ memoryWarm, ...memory }));
  expect(memory.now - memoryWarm).toBeLessThan(128 * 2 ** 20);
  expect(memory.most).toBeLessThan(512 * 2 ** 20);
  await good.end();
  await expectCounted(tally);
  const { problems, runs } = await verifyDatabase(database);
  expect(problems).toEqual([]);
  expect(runs.flatMap((run) => run.problems)).toEqual([]);
  expect(runs.find(({ id }) => id === 'good')).toMatchObject({ missing: 0, frames: good.sent() });
  expect(server.output()).not.toMatch(/unexpected fault/);
});

interface Trip {
  readonly bytes: Buffer;
  readonly markers: number;
  readonly ending: 'wait' | 'half-close';
  readonly mutations: readonly Mutation[];
}

/** As many of the mutations, from the first on, as can go over one connection. */
function tripOf(queue: readonly Mutation[], runId: string): Trip {
  const [first] = queue as [Mutation];
  if (first.place === 'upgrade') return { bytes: first.bytes, markers: 1, ending: 'half-close', mutations: [first] };
  const mutations: Mutation[] = [first];
  if (first.place !== 'last') {
    for (const mutation of queue.slice(1)) {
      if (mutation.place === 'first' || mutation.place === 'upgrade') break;
      mutations.push(mutation);
      if (mutation.place === 'last') break;
    }
  }
  const parts = [upgradeRequest];
  if (first.place !== 'first') parts.push(helloBytes(runId));
  for (const [index, { bytes }] of mutations.entries()) parts.push(bytes, marker(index));
  const ending = mutations.at(-1)?.place === 'last' ? 'half-close' : 'wait';
  return { bytes: Buffer.concat(parts), markers: mutations.length, ending, mutations };
}

/** Counts what became of them, and gives how many are done with; the others were not read. */
function judge(mutations: readonly Mutation[], { status, markers, close }: Answer, tally: Tally): number {
  const [first] = mutations as [Mutation];
  const refusedWith = (code: number): void => {
    tally.refused.set(code, (tally.refused.get(code) ?? 0) + 1);
  };
  if (first.place === 'upgrade') {
    if (status === undefined || status === 101) tally.cut++;
    else {
      expect([400, 403, 404, 405, 414, 426, 429, 431], first.kind).toContain(status);
      refusedWith(status);
    }
    return 1;
  }
  const read = Math.min(markers, mutations.length);
  if (close === undefined) {
    expect(
      read === mutations.length || mutations[read]?.place === 'last',
      `nothing came back after ${mutations[read]?.kind}`,
    ).toBe(true);
    tally.taken += read;
    if (read === mutations.length) return read;
    tally.cut++;
    return read + 1;
  }
  if (close.code === 1000) {
    // The answer to a bye; what came after that may not have been read.
    const done = Math.max(1, read);
    tally.taken += done;
    return done;
  }
  // Where everything was read, one was refused when its transaction was planned.
  const before = Math.min(read, mutations.length - 1);
  const { kind } = mutations[before] as Mutation;
  tally.taken += before;
  // A close is answered with its own code, unless that is none.
  const isEcho = kind === 'websocket: a close' && close.code !== 1002 && close.code !== 1007;
  if (isEcho) tally.taken++;
  else {
    expect(documentedCodes, `${kind}: ${close.code} ${close.reason}`).toContain(close.code);
    if (close.code >= 4000) expect(close.reason, kind).not.toBe('');
    refusedWith(close.code);
  }
  return before + 1;
}

const documentedCodes: readonly number[] = [
  1002,
  1007,
  1009,
  ...Object.values(closeCodes).filter((code) => code !== 4500),
];

/** A trainer that does everything right, and a frame every 20 ms. */
async function goodTrainer() {
  const trainer = await join(url, helloOf('good'));
  let sequence = 0;
  let closed = false;
  void trainer.closed.then(() => {
    closed = true;
  });
  const timer = setInterval(() => trainer.sendFrame(frameOf(sequence++)), 20);
  return {
    sent: () => sequence,
    async end() {
      clearInterval(timer);
      expect(closed).toBe(false);
      await trainer.acknowledged(sequence - 1);
      trainer.send({ type: 'bye', outcome: 'finished' });
      expect(await trainer.closed).toMatchObject({ code: 1000 });
    },
  };
}

/** What clients were told is what /metrics counts; it may count more, as some leave before they are told. */
async function expectCounted(tally: Tally): Promise<void> {
  const metrics = await (await fetch(`${url}/metrics`)).text();
  const counted = (name: string): number =>
    Number(new RegExp(`^${name.replace(/[{}]/g, '\\$&')} (\\d+)$`, 'm').exec(metrics)?.[1] ?? 0);
  const reasons: [number, readonly RefusalReason[]][] = [
    [4400, ['malformed']],
    [4402, ['hello_expected']],
    [4406, ['unsupported_version']],
    [4413, ['text_size', 'sites', 'metrics', 'scalars', 'name_length', 'description_size']],
    [1009, ['message_size']],
  ];
  for (const [code, of] of reasons) {
    const total = of.reduce((sum, reason) => sum + counted(`outlierscope_server_refused_total{reason="${reason}"}`), 0);
    expect(total, of.join(', ')).toBeGreaterThanOrEqual(tally.refused.get(code) ?? 0);
  }
  const broken = (tally.refused.get(1002) ?? 0) + (tally.refused.get(1007) ?? 0);
  expect(counted('outlierscope_server_peer_errors_total')).toBeGreaterThanOrEqual(broken);
  expect(counted('outlierscope_server_faults_total')).toBe(0);
  expect(counted('outlierscope_server_store_errors_total')).toBe(0);
}

/** Resident memory in bytes: now, and the most there ever was. */
function memoryOf(pid: number): { now: number; most: number } {
  const text = readFileSync(`/proc/${pid}/status`, 'utf8');
  const bytes = (name: string): number => Number(new RegExp(`^${name}:\\s+(\\d+) kB`, 'm').exec(text)?.[1]) * 1024;
  return { now: bytes('VmRSS'), most: bytes('VmHWM') };
}

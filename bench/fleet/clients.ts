/**
 * Trainers of the benchmark `fleet`, in a process of their own: each says hello, sends a frame at its own beat, and notes how long its
 * acknowledgement takes. Started by fork; takes one job as a message and answers with one.
 */
import { once } from 'node:events';
import { setTimeout as sleep } from 'node:timers/promises';
import { WebSocket } from 'ws';
import { siteMetrics } from '../../src/catalogue.ts';
import { encodeFrame } from '../../src/frame.ts';
import type { Hello } from '../../src/messages.ts';

export interface Job {
  readonly port: number;
  /** Of the first run's id. */
  readonly firstClient: number;
  readonly clients: number;
  /** Between two frames of a client. */
  readonly beatMilliseconds: number;
  readonly milliseconds: number;
}

export interface Taken {
  readonly sent: number;
  readonly acknowledged: number;
  /** From a frame's sending to its acknowledgement, in milliseconds. */
  readonly latencies: readonly number[];
}

export const sites = 100;
export const metrics: readonly string[] = siteMetrics.slice(0, 12).map(({ name }) => name);
export const runIdOf = (client: number): string => `fleet-${client}`;

/** How long the last acknowledgements may take. */
const patienceMilliseconds = 10_000;
/** Clients that connect at once: all of them would be a rush that real trainers do not make. */
const connectAtOnce = 50;

if (process.send !== undefined) {
  process.once('message', (job: Job) => {
    run(job).then(
      (taken) => process.send?.(taken, () => process.disconnect()),
      (error: unknown) => {
        console.error(error);
        process.exit(1);
      },
    );
  });
}

async function run({ port, firstClient, clients: count, beatMilliseconds, milliseconds }: Job): Promise<Taken> {
  const clients: Client[] = [];
  for (let first = 0; first < count; first += connectAtOnce) {
    const numbers = Array.from({ length: Math.min(connectAtOnce, count - first) }, (_, index) => first + index);
    clients.push(...(await Promise.all(numbers.map((number) => join(port, firstClient + number)))));
  }
  await Promise.all(
    clients.map(async (client, index) => {
      // Beats are spread evenly: trainers do not wait for each other.
      await sleep((beatMilliseconds * index) / count);
      const end = performance.now() + milliseconds;
      for (let next = performance.now(); next < end; next += beatMilliseconds) {
        await sleep(Math.max(0, next - performance.now()));
        client.send();
      }
    }),
  );
  await Promise.race([Promise.all(clients.map((client) => client.settled())), sleep(patienceMilliseconds)]);
  await Promise.race([Promise.all(clients.map((client) => client.leave())), sleep(patienceMilliseconds)]);
  return {
    sent: total(clients.map((client) => client.sent())),
    acknowledged: total(clients.map((client) => client.latencies.length)),
    latencies: clients.flatMap((client) => client.latencies),
  };
}

interface Client {
  readonly latencies: number[];
  send(): void;
  sent(): number;
  /** Resolves once everything is acknowledged. */
  settled(): Promise<void>;
  leave(): Promise<unknown>;
}

async function join(port: number, number: number): Promise<Client> {
  const socket = new WebSocket(`ws://127.0.0.1:${port}/v1/ingest`, { perMessageDeflate: false });
  await once(socket, 'open');
  const welcome = once(socket, 'message');
  socket.send(JSON.stringify(helloOf(runIdOf(number))));
  await welcome;
  const pending: { readonly sequence: number; readonly at: number }[] = [];
  const latencies: number[] = [];
  let sequence = 0;
  let whenSettled: (() => void) | undefined;
  socket.on('message', (data) => {
    const message = JSON.parse(String(data)) as { type: string; lastSequence: number };
    if (message.type !== 'acknowledge') return;
    const now = performance.now();
    while (pending[0] !== undefined && pending[0].sequence <= message.lastSequence)
      latencies.push(now - (pending.shift() as { at: number }).at);
    if (pending.length === 0) whenSettled?.();
  });
  return {
    latencies,
    send() {
      pending.push({ sequence, at: performance.now() });
      socket.send(frameOf(sequence++));
    },
    sent: () => sequence,
    settled: () =>
      new Promise((resolve) => {
        whenSettled = resolve;
        if (pending.length === 0) resolve();
      }),
    leave() {
      socket.send(JSON.stringify({ type: 'bye', outcome: 'finished' }));
      return once(socket, 'close');
    },
  };
}

function helloOf(runId: string): Hello {
  return {
    type: 'hello',
    protocol: 1,
    runId,
    runName: runId,
    catalogue: 1,
    startedAt: Date.now(),
    sites: Array.from({ length: sites }, (_, index) => ({
      name: `blocks.${index}/add`,
      kind: 'residual',
      path: `gpt/blocks.${index}/add`,
      width: 768,
    })),
    metrics: [...metrics],
    scalars: ['loss'],
    topNeurons: 0,
    tags: {},
    config: {},
  };
}

/** Below the rules' thresholds: what is measured are frames, not alerts. */
const values = Float32Array.from({ length: sites * metrics.length }, (_, index) => 1 + (index % 97) / 97);

function frameOf(sequence: number): Uint8Array {
  return encodeFrame(
    {
      sequence,
      step: sequence * 10,
      time: Date.now(),
      scalars: Float64Array.of(2.5),
      values,
      topNeurons: { count: 0, indices: new Uint32Array(), shares: new Float32Array() },
    },
    metrics.length,
  );
}

function total(numbers: readonly number[]): number {
  return numbers.reduce((sum, number) => sum + number, 0);
}

/** Group commit against a store that the test controls: what is told to whom when a transaction waits, succeeds or fails. */
import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest';
import { everyone } from '../../server/access/tokens.ts';
import { createHealth } from '../../server/health.ts';
import { defaultLimits } from '../../server/limits.ts';
import type { Audience, Source } from '../../server/plan.ts';
import { createRunRegistry, type RunRegistry } from '../../server/runs.ts';
import type { Batch, Store } from '../../server/store.ts';
import {
  createTrainerConnection,
  helloTimeoutMilliseconds,
  type TrainerConnection,
} from '../../server/trainer-connection.ts';
import { createWriter, type Writer } from '../../server/writer.ts';
import { encodeFrame } from '../../src/frame.ts';
import { closeCodes } from '../../src/messages.ts';
import { defaultRules } from '../../src/rules.ts';
import { frameOf, helloOf } from './trainer.ts';

/** A store whose commits end when and how the test says. */
class HeldStore {
  readonly batches: Batch[] = [];
  readonly #ends: { resolve: () => void; reject: (error: Error) => void }[] = [];
  readonly deleted: string[] = [];
  broken = false;

  commit(batch: Batch): Promise<void> {
    this.batches.push(batch);
    return new Promise((resolve, reject) => this.#ends.push({ resolve, reject }));
  }
  async probe(): Promise<void> {
    if (this.broken) throw new Error('disk full');
  }
  async deleteRun(id: string): Promise<void> {
    if (this.broken) throw new Error('disk full');
    this.deleted.push(id);
  }
  /** Ends the oldest commit that is under way, once there is one. */
  async end(error?: Error): Promise<void> {
    await vi.waitFor(() => expect(this.#ends.length).toBeGreaterThan(0));
    const end = this.#ends.shift();
    if (error === undefined) end?.resolve();
    else end?.reject(error);
    await new Promise((resolve) => setImmediate(resolve));
  }
}

let store: HeldStore;
let runs: RunRegistry;
let writer: Writer;
let told: string[];
let connections: Map<string, TrainerConnection>;
let health: ReturnType<typeof createHealth>;

beforeEach(() => {
  store = new HeldStore();
  runs = createRunRegistry(1000, () => 0);
  told = [];
  connections = new Map();
  health = createHealth();
  const audience: Audience = {
    runChanged: ({ id, progress }) => told.push(`run ${id} ${progress.state}`),
    frameStored: ({ id }, { sequence }) => told.push(`frame ${id} ${sequence}`),
    alertChanged: ({ id, state }) => told.push(`alert ${id} ${state}`),
    runDeleted: (id) => told.push(`deleted ${id}`),
  };
  writer = createWriter({
    store: store as unknown as Store,
    runs,
    rules: defaultRules,
    health,
    audience,
    now: () => 0,
  });
  vi.spyOn(console, 'error').mockImplementation(() => {});
});
afterEach(() => {
  vi.useRealTimers();
  vi.restoreAllMocks();
});

function connection(sent: string[], bufferedAmount = 0): TrainerConnection {
  return createTrainerConnection({
    socket: {
      send: (text) => {
        const message = JSON.parse(text) as { type: string; lastSequence?: number };
        sent.push(`${message.type} ${message.lastSequence ?? ''}`.trim());
      },
      close: (code) => sent.push(`close ${code}`),
      terminate: () => sent.push('terminate'),
      pause: () => sent.push('pause'),
      resume: () => sent.push('resume'),
      bufferedAmount,
    },
    limits: defaultLimits,
    authorise: () => everyone,
    admitRun: () => {},
    submit: writer.submit,
    claim: (id, claimant) => connections.set(id, claimant),
    release: (id, owner) => connections.get(id) === owner && connections.delete(id),
    onActionResult: () => {},
    health,
    now: () => 0,
  });
}

const hello = (id: string): string => JSON.stringify(helloOf(id));
const frame = (sequence: number, kurtosis = 1.5): Uint8Array => encodeFrame(frameOf(sequence, { kurtosis }), 2);

describe('group commit', () => {
  test('says nothing before the transaction is durable', async () => {
    const sent: string[] = [];
    const trainer = connection(sent);
    trainer.receiveText(hello('a'));
    trainer.receiveFrame(frame(0));
    await vi.waitFor(() => expect(store.batches).toHaveLength(1));
    expect([sent, told, runs.get('a')]).toEqual([[], [], undefined]);
    await store.end();
    expect(sent).toEqual(['welcome -1', 'acknowledge 0']);
    expect(told).toEqual(['run a connected', 'frame a 0']);
  });

  test('writes what arrived meanwhile from all trainers in one transaction, acknowledged once each', async () => {
    const [sentA, sentB]: string[][] = [[], []];
    const [a, b] = [connection(sentA as string[]), connection(sentB as string[])];
    a.receiveText(hello('a'));
    b.receiveText(hello('b'));
    await vi.waitFor(() => expect(store.batches).toHaveLength(1));
    for (const sequence of [0, 1, 2]) {
      a.receiveFrame(frame(sequence));
      b.receiveFrame(frame(sequence));
    }
    await store.end();
    await store.end();
    expect(store.batches.map((batch) => [batch.runs.length, batch.frames.length])).toEqual([
      [2, 0],
      [2, 6],
    ]);
    expect([sentA, sentB]).toEqual([
      ['welcome -1', 'acknowledge 2'],
      ['welcome -1', 'acknowledge 2'],
    ]);
  });

  test('says goodbye after the last acknowledgement', async () => {
    const sent: string[] = [];
    const trainer = connection(sent);
    trainer.receiveText(hello('a'));
    trainer.receiveFrame(frame(0));
    trainer.receiveText(JSON.stringify({ type: 'bye', outcome: 'finished' }));
    await store.end();
    expect(sent).toEqual(['welcome -1', 'acknowledge 0', 'close 1000']);
  });
});

describe('a transaction that fails', () => {
  test('leaves no trace, sends its trainers away, and does not let a later frame hide an earlier one that was lost', async () => {
    const sent: string[] = [];
    const trainer = connection(sent);
    trainer.receiveText(hello('a'));
    await store.end();
    trainer.receiveFrame(frame(0, 9));
    await vi.waitFor(() => expect(store.batches).toHaveLength(2));
    trainer.receiveFrame(frame(1, 9)); // Waits for the next transaction, which would succeed.
    await store.end(new Error('disk full'));
    expect(sent).toEqual(['welcome -1', `close ${closeCodes.serverError}`]);
    await store.end();
    await writer.drain();
    expect(store.batches.at(-1)).toMatchObject({
      frames: [],
      runs: [{ progress: { state: 'silent', lastSequence: -1 } }],
    });

    // The trainer comes back and sends both: the rule fires with the second, as if nothing had been.
    const again: string[] = [];
    const back = connection(again);
    back.receiveText(hello('a'));
    back.receiveFrame(frame(0, 9));
    back.receiveFrame(frame(1, 9));
    await store.end();
    expect(again).toEqual(['welcome -1', 'acknowledge 1']);
    expect(told.filter((line) => line.startsWith('alert'))).toEqual(['alert a/KurtosisHigh/10 firing']);
  });

  test('is told by readiness until the store takes writes again', async () => {
    expect(await writer.trouble()).toBeUndefined();
    connection([]).receiveText(hello('a'));
    store.broken = true;
    await store.end(new Error('disk full'));
    expect(await writer.trouble()).toBe('disk full');
    store.broken = false;
    expect(await writer.trouble()).toBeUndefined();
    expect((await health.storeErrors.get()).values[0]?.value).toBe(1);
  });

  test('does not leave a run connected for ever when even its silence cannot be written', async () => {
    const trainer = connection([]);
    trainer.receiveText(hello('a'));
    await store.end();
    trainer.ended();
    await store.end(new Error('disk full'));
    expect(runs.get('a')?.progress.state).toBe('silent');
  });
});

test('a fault of our own in one notice does not keep the others from theirs', async () => {
  const broken: Source = {
    runId: 'a',
    trusted: true,
    welcome: () => {
      throw new Error('bug');
    },
    acknowledge() {},
    goodbye() {},
    refuse() {},
    retryLater() {},
    wait() {},
    readOn() {},
  };
  const sent: string[] = [];
  writer.submit({ kind: 'hello', source: broken, hello: helloOf('a') });
  connection(sent).receiveText(hello('b'));
  await store.end();
  expect(sent).toEqual(['welcome -1']);
  expect((await health.faults.get()).values[0]?.value).toBe(1);
});

test('the queue is bounded: a trainer is sent away when the store is too slow', async () => {
  const sent: string[] = [];
  const trainer = connection(sent);
  trainer.receiveText(hello('a'));
  await vi.waitFor(() => expect(store.batches).toHaveLength(1));
  const large = new Uint8Array(16 * 1024 * 1024);
  large.set(frame(0)); // What follows the last array is ignored, but it takes room.
  for (let count = 0; count < 17; count++) trainer.receiveFrame(large);
  expect(sent).toEqual(['pause', 'resume', `close ${closeCodes.overloaded}`]);
});

test('a trainer with much in the queue is not read from until that is written', async () => {
  const sent: string[] = [];
  const trainer = connection(sent);
  trainer.receiveText(hello('a'));
  await vi.waitFor(() => expect(store.batches).toHaveLength(1));
  const large = new Uint8Array(3 * 1024 * 1024);
  for (const sequence of [0, 1]) {
    large.set(frame(sequence));
    trainer.receiveFrame(large.slice());
  }
  expect(sent).toEqual(['pause']);
  await store.end();
  expect(sent).toEqual(['pause', 'welcome -1']);
  await store.end();
  expect(sent).toEqual(['pause', 'welcome -1', 'acknowledge 1', 'resume']);
});

test('a trainer that does not read what it is told is dropped, and its run falls silent', async () => {
  const sent: string[] = [];
  const trainer = connection(sent, 2 * 1024 * 1024);
  trainer.receiveText(hello('a'));
  await store.end();
  expect(sent).toEqual(['terminate']);
  expect((await health.peerErrors.get()).values[0]?.value).toBe(1);
});

describe('the deletion of a run', () => {
  test('happens between transactions, and tells who watches', async () => {
    const trainer = connection([]);
    trainer.receiveText(hello('a'));
    trainer.receiveText(JSON.stringify({ type: 'bye', outcome: 'finished' }));
    const early = writer.deleteRun('a');
    await store.end();
    expect(await early).toBe('unknown'); // It came before the hello was written.
    expect(await writer.deleteRun('a')).toBe('deleted');
    expect([store.deleted, runs.get('a'), told.at(-1)]).toEqual([['a'], undefined, 'deleted a']);
  });

  test('is refused while its trainer is connected', async () => {
    connection([]).receiveText(hello('a'));
    await store.end();
    expect(await writer.deleteRun('a')).toBe('connected');
    expect(store.deleted).toEqual([]);
  });

  test('that fails leaves the run', async () => {
    const trainer = connection([]);
    trainer.receiveText(hello('a'));
    trainer.receiveText(JSON.stringify({ type: 'bye', outcome: 'finished' }));
    await store.end();
    store.broken = true;
    await expect(writer.deleteRun('a')).rejects.toThrow('disk full');
    expect(runs.get('a')).toBeDefined();
  });
});

test('who says no hello in time is sent away', () => {
  vi.useFakeTimers();
  const [late, punctual]: string[][] = [[], []];
  connection(late as string[]);
  connection(punctual as string[]).receiveText(hello('a'));
  vi.advanceTimersByTime(helloTimeoutMilliseconds - 1);
  expect(late).toEqual([]);
  vi.advanceTimersByTime(1);
  expect([late, punctual]).toEqual([[`close ${closeCodes.helloExpected}`], []]);
});

/**
 * Remote write as the server sees it: a thread for each receiver, which hears of runs that changed. What it has to be told in a hurry is
 * nothing, so the many frames of a moment are one message.
 */
import { once } from 'node:events';
import { MessageChannel, type MessagePort, Worker } from 'node:worker_threads';
import type { Registry } from 'prom-client';
import { messageOf, OutlierscopeError } from '../../src/errors.ts';
import type { RunRecord } from '../run-record.ts';
import { answerCalls, Calls } from '../sqlite/calls.ts';
import type { Store } from '../store.ts';
import { readAuthorisation } from './authorisation.ts';
import type { Cursor } from './cursor.ts';
import { createRemoteWriteMetrics, type RemoteWriteMetrics } from './metrics.ts';
import { nameOf, type ResolvedEndpoint } from './options.ts';
import type { Report } from './report.ts';
import type { RunNews } from './source.ts';
import type { ThreadData } from './thread.ts';

export interface RemoteWrite {
  runChanged(record: RunRecord): void;
  frameStored(record: RunRecord): void;
  runDeleted(runId: string): void;
  /** Before the store is closed. What was not sent goes on at the next start. */
  close(): Promise<void>;
}

export interface RemoteWriteParts {
  readonly endpoints: readonly ResolvedEndpoint[];
  /** Path of the database. */
  readonly path: string;
  readonly store: Pick<Store, 'forwarded'>;
  readonly graceMilliseconds: number;
  readonly registry: Registry;
  /** A thread ended that should not have. */
  readonly faulted: () => void;
}

const newsMilliseconds = 100;
const restartMilliseconds = 5000;

/** @throws OutlierscopeError `invalid-options` for a secret that cannot be read, and for a store that keeps nothing. */
export function startRemoteWrite(parts: RemoteWriteParts): RemoteWrite {
  const { endpoints, path, registry } = parts;
  if (endpoints.length === 0) return { runChanged() {}, frameStored() {}, runDeleted() {}, async close() {} };
  if (path === ':memory:') {
    throw new OutlierscopeError('remote write from the database :memory:', {
      code: 'invalid-options',
      hint: 'give a file: what the receiver has not got yet is sent from there',
    });
  }
  for (const endpoint of endpoints) readAuthorisation(endpoint);
  const metrics = createRemoteWriteMetrics(registry);
  const threads = endpoints.map((endpoint) => startThread(endpoint, metrics, parts));
  /** What changed since it was last told. */
  const grown = new Map<string, RunRecord>();
  const redescribed = new Set<string>();
  let telling: NodeJS.Timeout | undefined;

  function tell(): void {
    telling = undefined;
    const news = [...grown.values()].map(newsOf);
    const ids = [...redescribed];
    grown.clear();
    redescribed.clear();
    for (const thread of threads) {
      if (ids.length > 0) thread.call('redescribe', [ids]);
      thread.call('renew', [news]);
    }
  }

  function changed(record: RunRecord): void {
    grown.set(record.id, record);
    telling ??= setTimeout(tell, newsMilliseconds);
  }

  return {
    runChanged(record) {
      redescribed.add(record.id);
      changed(record);
    },
    frameStored: changed,
    runDeleted(runId) {
      grown.delete(runId);
      for (const thread of threads) thread.call('forget', [runId]);
    },
    async close() {
      clearTimeout(telling);
      await Promise.all(threads.map((thread) => thread.close()));
    },
  };
}

interface Thread {
  call(method: string, args: unknown[]): void;
  close(): Promise<void>;
}

function startThread(endpoint: ResolvedEndpoint, metrics: RemoteWriteMetrics, parts: RemoteWriteParts): Thread {
  const name = nameOf(endpoint);
  const log = (line: string): void => console.error(`outlierscope server: remote write to ${name}: ${line}`);
  let closed = false;
  let restarting: NodeJS.Timeout | undefined;
  let current = start();
  metrics.begin(name, endpoint.shards);

  function start(): { worker: Worker; calls: Calls; exit: Promise<unknown>; port: MessagePort } | undefined {
    const { port1, port2 } = new MessageChannel();
    const data: ThreadData = {
      path: parts.path,
      endpoint,
      graceMilliseconds: parts.graceMilliseconds,
      server: port2,
    };
    const worker = new Worker(threadFile(), {
      workerData: data,
      transferList: [port2],
      execArgv: [],
      name: 'outlierscope remote write',
    });
    const calls = new Calls((message) => worker.postMessage(message));
    worker.on('message', (message: object) => calls.receive(message));
    answerCalls(port1, {
      save: (cursors: Cursor[]) => parts.store.forwarded(name, cursors),
      report: (report: Report) => metrics.report(name, report),
      log,
    });
    const gone = (reason: string): void => {
      if (current?.worker !== worker) return;
      current = undefined;
      calls.fail(new Error(reason));
      port1.close();
      if (closed) return;
      parts.faulted();
      log(`its thread ended, started again: ${reason}`);
      // It begins with what the store says, so nothing that it was told is missed.
      restarting = setTimeout(() => (current = start()), restartMilliseconds);
    };
    worker.on('error', (error) => gone(messageOf(error)));
    worker.on('exit', (code) => gone(`exit code ${code}`));
    return { worker, calls, exit: once(worker, 'exit'), port: port1 };
  }

  return {
    call(method, args) {
      current?.calls.call(method, args).catch((error: unknown) => {
        if (!closed) log(`${method} failed: ${messageOf(error)}`);
      });
    },
    async close() {
      closed = true;
      clearTimeout(restarting);
      if (current === undefined) return;
      const { worker, calls, exit, port } = current;
      await calls.call('close', []).catch(() => worker.terminate());
      await exit;
      port.close();
    },
  };
}

function newsOf({ id, progress }: RunRecord): RunNews {
  const { lastSequence, frames, state, stateSince, lastFrameAt } = progress;
  return { id, lastSequence, frames, state, stateSince, lastFrameAt };
}

/** The compiled thread: beside this file in the package, in dist when running from the sources. */
function threadFile(): URL {
  const fromSources = import.meta.url.endsWith('.ts');
  return new URL(fromSources ? '../../dist/server/remote-write/thread.js' : './thread.js', import.meta.url);
}

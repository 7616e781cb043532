/**
 * One side of the database in its thread, seen from the server's. A reader that broke is started anew by the next call. A writer is
 * not: whether its last batch was kept is known only to the next start of the server, which reads what is there.
 */
import { once } from 'node:events';
import { type TransferListItem, Worker } from 'node:worker_threads';
import { messageOf, OutlierscopeError } from '../../src/errors.ts';
import type { StoreObserver } from '../store.ts';
import { Calls } from './calls.ts';
import type { ThreadData, ThreadNotice } from './thread.ts';

export interface SideThread {
  call<Result>(method: string, args: unknown[], transfer?: TransferListItem[]): Promise<Result>;
  close(): Promise<void>;
}

export function startSide(data: ThreadData, observer: StoreObserver): SideThread {
  let closed = false;
  let current: { readonly worker: Worker; readonly calls: Calls } | undefined = start();

  function start(): NonNullable<typeof current> {
    const worker = new Worker(threadFile(), {
      workerData: data,
      execArgv: [],
      name: `outlierscope store ${data.side}`,
    });
    const calls = new Calls((message, transfer) => worker.postMessage(message, transfer));
    worker.on('message', (message: object) => {
      if (calls.receive(message)) return;
      const notice = message as ThreadNotice;
      if ('expired' in notice) observer.expired(notice.expired);
      else observer.troubled(new Error(notice.troubled));
    });
    const gone = (reason: string): void => {
      if (current?.worker === worker) current = undefined;
      calls.fail(failure(`its thread ended: ${reason}`));
    };
    worker.on('error', (error) => gone(messageOf(error)));
    worker.on('exit', (code) => gone(`exit code ${code}`));
    return { worker, calls };
  }

  return {
    async call(method, args, transfer) {
      if (closed) throw failure('it is closed');
      if (current === undefined && data.side === 'writer') throw failure('the thread that writes has ended');
      current ??= start();
      return current.calls.call(method, args, transfer);
    },
    async close() {
      if (closed) return;
      closed = true;
      if (current === undefined) return;
      const gone = once(current.worker, 'exit');
      await current.calls.call('close', []).catch(() => current?.worker.terminate());
      await gone;
    },
  };
}

function failure(what: string): OutlierscopeError {
  return new OutlierscopeError(`the store failed: ${what}`, { code: 'store-failed', hint: 'start the server again' });
}

/** The compiled thread: beside this file in the package, in dist when running from the sources. */
function threadFile(): URL {
  const fromSources = import.meta.url.endsWith('.ts');
  return new URL(fromSources ? '../../dist/server/sqlite/thread.js' : './thread.js', import.meta.url);
}

/**
 * Group commit: what all trainers sent since the last transaction is written in one, and only then acknowledged, shown and counted.
 * A failed transaction leaves no trace: its records are forgotten and its trainers are told to come back.
 */
import { messageOf } from '../src/errors.ts';
import { createGathering } from './gathering.ts';
import { type Operation, type PlanParts, planBatch, type Source } from './plan.ts';
import { afterSilence } from './run-record.ts';
import type { Batch, Store } from './store.ts';

export interface Writer {
  /** Queues an operation; false when the queue is full and the operation was not taken. Silences are always taken. */
  submit(operation: Operation): boolean;
  /** Removes a run and all that is kept of it, unless its trainer is connected. */
  deleteRun(runId: string): Promise<Deletion>;
  /** Resolves when everything that was queued is written or failed. */
  drain(): Promise<void>;
  /** Why the last transaction failed; undefined while the store takes writes. After a failure it tries the store again. */
  trouble(): Promise<string | undefined>;
}

export type Deletion = 'deleted' | 'unknown' | 'connected';

export interface WriterParts extends PlanParts {
  readonly store: Store;
}

const mostBatchBytes = 16 * 1024 * 1024;
const mostQueuedBytes = 256 * 1024 * 1024;
/** With more than this in the queue a trainer is not read from, so that it cannot fill the queue for all. */
const mostBytesOfOne = 4 * 1024 * 1024;
/** Small transactions of frames begin so far apart. */
const apartMilliseconds = 10;
/** With as much in the queue a transaction is not small. */
const worthwhileBytes = 1024 * 1024;

export function createWriter(parts: WriterParts): Writer {
  const { store, runs, health, now } = parts;
  let queue: Operation[] = [];
  let queuedBytes = 0;
  const bytesOf = new Map<Source, number>();
  let deletions: (() => Promise<void>)[] = [];
  let running: Promise<void> | undefined;
  const gathering = createGathering(apartMilliseconds);
  let failure: string | undefined;
  /** Of the frames that could not be written last: there must be room for as many before all is well. */
  let failedBytes = 0;

  async function run(): Promise<void> {
    while (queue.length > 0 || deletions.length > 0) {
      await gathering.turn();
      const due = deletions;
      deletions = [];
      for (const remove of due) await remove();
      const batch = nextBatch();
      await write(batch);
      release(batch);
    }
    running = undefined;
  }

  function nextBatch(): Operation[] {
    let bytes = 0;
    let end = 0;
    while (end < queue.length && bytes < mostBatchBytes) bytes += sizeOf(queue[end++] as Operation);
    const batch = queue.slice(0, end);
    queue = queue.slice(end);
    queuedBytes -= bytes;
    if (queue.length > 0) gathering.hurry();
    return batch;
  }

  /** What a trainer sent is written or failed: it is read from again. */
  function release(operations: readonly Operation[]): void {
    for (const operation of operations) {
      const { source } = operation;
      const before = bytesOf.get(source) ?? 0;
      const after = before - sizeOf(operation);
      if (after > 0) bytesOf.set(source, after);
      else bytesOf.delete(source);
      if (before > mostBytesOfOne && after <= mostBytesOfOne) source.readOn();
    }
  }

  async function remove(runId: string): Promise<Deletion> {
    const record = runs.get(runId);
    if (record === undefined) return 'unknown';
    if (record.progress.state === 'connected') return 'connected';
    await store.deleteRun(runId);
    runs.forget(runId);
    parts.audience.runDeleted(runId);
    return 'deleted';
  }

  async function write(operations: readonly Operation[]): Promise<void> {
    const plan = planBatch(operations, parts);
    try {
      await commit(plan.batch);
    } catch (error) {
      failedBytes = plan.batch.frames.reduce((bytes, frame) => bytes + frame.bytes.byteLength, 0);
      giveUp(operations, error);
      return;
    }
    for (const effect of plan.effects) {
      try {
        effect();
      } catch (error) {
        // A fault of our own in one trainer's or viewer's notice must not keep the others from theirs.
        health.faults.inc();
        console.error('outlierscope server: unexpected fault after a commit:', error);
      }
    }
  }

  async function commit(batch: Batch): Promise<void> {
    if (batch.runs.length === 0) return; // Whatever is written changes a run.
    const endTimer = health.storeSeconds.startTimer();
    await store.commit(batch);
    endTimer();
    health.batchFrames.observe(batch.frames.length);
    // Where no frame fits, the news that its trainer is gone may.
    if (failure === undefined || (failedBytes > 0 && batch.frames.length === 0)) return;
    console.error('outlierscope server: the store takes writes again');
    failure = undefined;
  }

  function giveUp(operations: readonly Operation[], error: unknown): void {
    health.storeErrors.inc();
    if (failure === undefined) console.error(`outlierscope server: ${messageOf(error)}`);
    failure = messageOf(error);
    for (const { kind, source } of operations) {
      source.retryLater();
      // That a trainer is gone needs no disk: at the next start every connected run becomes silent anyway.
      const record = runs.get(source.runId);
      if (kind === 'silence' && record !== undefined) runs.adopt(afterSilence(record, now()));
    }
  }

  return {
    submit(operation) {
      const bytes = sizeOf(operation);
      if (queuedBytes + bytes > mostQueuedBytes && operation.kind !== 'silence') return false;
      queue.push(operation);
      queuedBytes += bytes;
      const ofOne = (bytesOf.get(operation.source) ?? 0) + bytes;
      bytesOf.set(operation.source, ofOne);
      if (ofOne > mostBytesOfOne) operation.source.wait();
      if (isAwaited(operation) || queuedBytes > worthwhileBytes) gathering.hurry();
      running ??= run();
      return true;
    },
    deleteRun(runId) {
      return new Promise((resolve, reject) => {
        // Between two transactions, as records and numbers of runs change with it.
        deletions.push(() => remove(runId).then(resolve, reject));
        gathering.hurry();
        running ??= run();
      });
    },
    async drain() {
      while (running !== undefined) {
        gathering.hurry();
        await running;
      }
    },
    async trouble() {
      if (failure === undefined) return undefined;
      try {
        await store.probe(failedBytes);
        failure = undefined;
      } catch (error) {
        failure = messageOf(error);
      }
      return failure;
    },
  };
}

/** Trainers wait for the answer to a hello and to a bye, viewers for the news of a silence; nobody stops for that of a frame. */
function isAwaited({ kind }: Operation): boolean {
  return kind !== 'frame' && kind !== 'declare';
}

function sizeOf(operation: Operation): number {
  // 1 KiB stands for the objects around it.
  return 1024 + (operation.kind === 'frame' ? operation.bytes.byteLength : 0);
}

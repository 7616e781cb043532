/** Delivery in Node: courier and sender live in a worker thread. This side never waits, for them or for anything. */
import { MessageChannel, receiveMessageOnPort, Worker } from 'node:worker_threads';
import { messageOf } from '../../src/errors.ts';
import { createCounters, reportFrom, takenBytes } from './counters.ts';
import type { DeliveryCommand, DeliveryEvent, DeliverySettings, OpenDelivery } from './delivery.ts';
import type { WorkerData } from './worker.ts';

/** How long after the deadline of `close` the worker may still answer. */
const patienceMilliseconds = 3000;

export const openDelivery: OpenDelivery = (settings: DeliverySettings, onEvent: (event: DeliveryEvent) => void) => {
  const { port1: events, port2 } = new MessageChannel();
  const counters = createCounters();
  const workerData: WorkerData = { settings: onlySettings(settings), events: port2, counters };
  const worker = new Worker(new URL('./worker.js', import.meta.url), {
    workerData,
    transferList: [port2],
    execArgv: [], // the trainer's own flags (loaders, memory limits) are not for this thread
    name: 'outlierscope',
  });
  let accepted = 0;
  let postedBytes = 0;
  /** Frames given up because the worker takes none: a disk that hangs must not fill the memory. */
  let dropped = 0;
  let ended = false;
  let impatience: ReturnType<typeof setTimeout> | undefined;

  const receive = (event: DeliveryEvent): void => {
    if (ended) return;
    if (event.kind !== 'closed') {
      onEvent(event);
      return;
    }
    ended = true;
    clearTimeout(impatience);
    events.close();
    void worker.terminate();
    onEvent(event);
  };
  const failed = (reason: string): void => {
    if (ended) return;
    onEvent({ kind: 'warning', about: 'disk', text: `delivery stopped: ${reason}; training goes on unobserved` });
    receive({ kind: 'closed', report: reportFrom(counters, accepted, dropped) });
  };
  const drop = (): void => {
    dropped += 1;
    if (dropped > 1) return;
    const text = `delivery is held up, by a disk perhaps: frames beyond bufferBytes (${settings.bufferBytes}) are dropped`;
    onEvent({ kind: 'warning', about: 'disk', text });
  };

  events.on('message', receive);
  worker.on('error', (error) => failed(messageOf(error)));
  // A trainer that ends without close() must not hang; while close() flushes, the worker holds the process.
  worker.unref();
  events.unref();
  return {
    post(command: DeliveryCommand): void {
      if (ended) return;
      if (command.kind === 'frame') {
        accepted += 1;
        const bytes = command.bytes.byteLength;
        if (postedBytes - takenBytes(counters) + bytes > settings.bufferBytes) {
          drop();
          return;
        }
        postedBytes += bytes;
        worker.postMessage(command, [command.bytes.buffer]);
      } else if (command.kind === 'close') {
        worker.ref();
        worker.postMessage({ ...command, dropped });
        impatience = setTimeout(
          () => failed('the worker thread does not answer'),
          command.deadlineMilliseconds + patienceMilliseconds,
        );
      } else worker.postMessage(command);
    },
    poll(): void {
      if (ended) return;
      for (let next = receiveMessageOnPort(events); next !== undefined; next = receiveMessageOnPort(events)) {
        receive(next.message as DeliveryEvent);
      }
    },
  };
};

/** What came along with them (functions) cannot go to another thread. */
function onlySettings({ url, token, bufferBytes, spool, spoolBytes, record }: DeliverySettings): DeliverySettings {
  return { url, token, bufferBytes, spool, spoolBytes, record };
}

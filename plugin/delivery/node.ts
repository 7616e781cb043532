/** Delivery in Node: the sender lives in a worker thread. */
import { Worker } from 'node:worker_threads';
import { messageOf } from '../../src/errors.ts';
import type { DeliveryCommand, DeliveryEvent, DeliverySettings, OpenDelivery } from './delivery.ts';

export const openDelivery: OpenDelivery = (settings: DeliverySettings, onEvent: (event: DeliveryEvent) => void) => {
  // The trainer's own flags (loaders, memory limits) are not for this thread.
  const worker = new Worker(new URL('./worker.js', import.meta.url), {
    workerData: settings,
    execArgv: [],
    name: 'outlierscope',
  });
  let accepted = 0;
  const failed = (reason: string) => {
    onEvent({ kind: 'warning', text: `delivery stopped: ${reason}; training goes on unobserved` });
    onEvent({ kind: 'closed', report: { accepted, delivered: 0, dropped: 0, undelivered: accepted } });
  };
  let ended = false;
  worker.on('message', (event: DeliveryEvent) => {
    if (event.kind === 'closed') {
      ended = true;
      void worker.terminate();
    }
    onEvent(event);
  });
  worker.on('error', (error) => {
    if (!ended) failed(messageOf(error));
    ended = true;
  });
  // A trainer that ends without close() must not hang; while it flushes in close(), the worker holds the process.
  worker.unref();
  return {
    post(command: DeliveryCommand): void {
      if (command.kind === 'frame') {
        accepted += 1;
        worker.postMessage(command, [command.bytes.buffer]);
        return;
      }
      if (command.kind === 'close') {
        if (ended) {
          failed('the delivery thread had ended');
          return;
        }
        worker.ref();
      }
      worker.postMessage(command);
    },
  };
};

/** Delivery in Node: the sender lives in a worker thread. */
import { MessageChannel, receiveMessageOnPort, Worker } from 'node:worker_threads';
import { messageOf } from '../../src/errors.ts';
import type { DeliveryCommand, DeliveryEvent, DeliverySettings, OpenDelivery } from './delivery.ts';
import type { WorkerData } from './worker.ts';

export const openDelivery: OpenDelivery = (settings: DeliverySettings, onEvent: (event: DeliveryEvent) => void) => {
  const { port1: events, port2 } = new MessageChannel();
  const workerData: WorkerData = { settings, events: port2 };
  const worker = new Worker(new URL('./worker.js', import.meta.url), {
    workerData,
    transferList: [port2],
    execArgv: [], // the trainer's own flags (loaders, memory limits) are not for this thread
    name: 'outlierscope',
  });
  let accepted = 0;
  let ended = false;
  const receive = (event: DeliveryEvent): void => {
    if (event.kind === 'closed') {
      ended = true;
      events.close();
      void worker.terminate();
    }
    onEvent(event);
  };
  const failed = (reason: string): void => {
    if (ended) return;
    ended = true;
    onEvent({ kind: 'warning', text: `delivery stopped: ${reason}; training goes on unobserved` });
    onEvent({ kind: 'closed', report: { accepted, delivered: 0, dropped: 0, undelivered: accepted } });
  };
  events.on('message', receive);
  worker.on('error', (error) => failed(messageOf(error)));
  // A trainer that ends without close() must not hang; while close() flushes, the worker holds the process.
  worker.unref();
  events.unref();
  return {
    post(command: DeliveryCommand): void {
      if (ended) return;
      if (command.kind === 'frame') accepted += 1;
      if (command.kind === 'close') worker.ref();
      worker.postMessage(command, command.kind === 'frame' ? [command.bytes.buffer] : []);
    },
    poll(): void {
      if (ended) return;
      for (let next = receiveMessageOnPort(events); next !== undefined; next = receiveMessageOnPort(events)) {
        receive(next.message as DeliveryEvent);
      }
    },
  };
};

/** The worker thread of a Node trainer: training loops hold the main thread for minutes, delivery must not wait for them. */
import { type MessagePort, parentPort, workerData } from 'node:worker_threads';
import { WebSocket } from 'ws';
import type { DeliveryCommand, DeliverySettings } from './delivery.ts';
import { Sender, type Socket } from './sender.ts';

export interface WorkerData {
  readonly settings: DeliverySettings;
  /** Where events go: a port of its own, since a port can be read without waiting and a worker's cannot. */
  readonly events: MessagePort;
}

const commands = parentPort;
if (commands === null) throw new Error('plugin/delivery/worker is the entry of a worker thread');
const { settings, events } = workerData as WorkerData;

const connect = (url: string): Socket =>
  new WebSocket(url, { perMessageDeflate: false, handshakeTimeout: 10_000 }) as unknown as Socket;
const sender = new Sender(settings, connect, (event) => events.postMessage(event));
commands.on('message', (command: DeliveryCommand) => sender.post(command));

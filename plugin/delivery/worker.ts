/** The worker thread of a Node trainer: training loops hold the main thread for minutes, delivery must not wait for them. */
import { parentPort, workerData } from 'node:worker_threads';
import { WebSocket } from 'ws';
import type { DeliveryCommand, DeliverySettings } from './delivery.ts';
import { Sender, type Socket } from './sender.ts';

const port = parentPort;
if (port === null) throw new Error('plugin/delivery/worker is the entry of a worker thread');

const connect = (url: string): Socket =>
  new WebSocket(url, { perMessageDeflate: false, handshakeTimeout: 10_000 }) as unknown as Socket;
const sender = new Sender(workerData as DeliverySettings, connect, (event) => port.postMessage(event));
port.on('message', (command: DeliveryCommand) => sender.post(command));

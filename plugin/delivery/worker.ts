/** The worker thread of a Node trainer: training loops hold the main thread for minutes, delivery must not wait for them. */
import { type MessagePort, parentPort, workerData } from 'node:worker_threads';
import { connectWithHeartbeat } from './connect.ts';
import { type Counters, publish } from './counters.ts';
import { Courier } from './courier.ts';
import type { DeliveryCommand, DeliveryEvent, DeliverySettings } from './delivery.ts';
import { Disk } from './disk.ts';
import type { Spooling } from './open-spool.ts';
import { RecordingFile } from './recording-file.ts';

export interface WorkerData {
  readonly settings: DeliverySettings;
  /** Where events go: a port of its own, since a port can be read without waiting and a worker's cannot. */
  readonly events: MessagePort;
  readonly counters: Counters;
}

const commands = parentPort;
if (commands === null) throw new Error('plugin/delivery/worker is the entry of a worker thread');
const { settings, events, counters } = workerData as WorkerData;

const emit = (event: DeliveryEvent): void => events.postMessage(event);
const warn = (text: string): void => emit({ kind: 'warning', about: 'disk', text });
const disk = new Disk(warn);
const recording = settings.record === undefined ? undefined : new RecordingFile(settings.record, disk, warn);
const spooling = settings.spool === undefined ? undefined : await openSpool();
const courier = new Courier({
  settings,
  connect: connectWithHeartbeat,
  emit,
  disk,
  recording,
  spool: spooling?.spool,
  leftovers: spooling?.leftovers ?? [],
});
commands.on('message', (command: DeliveryCommand) => {
  courier.post(command);
  publish(counters, command.kind === 'frame' ? command.bytes.byteLength : 0, courier.report());
});

/** Loads SQLite for its locks: only where there is a spool, and where that fails there is none. */
async function openSpool(): Promise<Spooling | undefined> {
  try {
    return (await import('./open-spool.ts')).openSpool(settings, disk, warn);
  } catch (error) {
    disk.fault('opening the spool', 'frames are kept in memory only', error);
    return undefined;
  }
}

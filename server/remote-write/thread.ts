/** The thread of one receiver: reading, encoding, compressing and sending never hold up the server's own thread. */
import { type MessagePort, parentPort, workerData } from 'node:worker_threads';
import { answerCalls, Calls } from '../sqlite/calls.ts';
import { openForReading } from '../sqlite/database.ts';
import { createClient } from './client.ts';
import type { Cursor } from './cursor.ts';
import { createForwarder } from './forwarder.ts';
import { nameOf, type ResolvedEndpoint } from './options.ts';
import { createSource, type RunNews } from './source.ts';

export interface ThreadData {
  readonly path: string;
  readonly endpoint: ResolvedEndpoint;
  readonly graceMilliseconds: number;
  /** Calls of the server: `save`, `report`, `log`. */
  readonly server: MessagePort;
}

const port = parentPort;
if (port === null) throw new Error('server/remote-write/thread is the entry of a worker thread');
const { path, endpoint, graceMilliseconds, server } = workerData as ThreadData;

const reportMilliseconds = 500;

const calls = new Calls((message, transfer) => server.postMessage(message, transfer));
server.on('message', (message: object) => calls.receive(message));
const now = (): number => Date.now();
const database = openForReading(path);
const forwarder = createForwarder({
  endpoint,
  source: createSource(database, nameOf(endpoint)),
  client: createClient(endpoint, now),
  saveCursors: (cursors: Cursor[]) => calls.call('save', [cursors]),
  graceMilliseconds,
  log: (line) => void calls.call('log', [line]),
  now,
});
const report = (): Promise<void> => calls.call('report', [forwarder.report()]);
const reporting = setInterval(() => void report(), reportMilliseconds);

answerCalls(port, {
  renew: (news: readonly RunNews[]) => forwarder.renew(news),
  redescribe: (ids: readonly string[]) => forwarder.redescribe(ids),
  forget: (id: string) => forwarder.forget(id),
  async close() {
    clearInterval(reporting);
    await forwarder.close();
    await report();
    database.close();
    server.close();
  },
});

/** A trainer for the server's tests: a plain websocket that speaks protocol v1 by hand, so that it can also speak it wrongly. */
import { once } from 'node:events';
import { WebSocket } from 'ws';
import { encodeFrame, type Frame, noNeuron } from '../../src/frame.ts';
import type { Hello, ServerMessage, Site } from '../../src/messages.ts';

export type MessageOf<Type extends ServerMessage['type']> = Extract<ServerMessage, { type: Type }>;

export interface Trainer {
  readonly socket: WebSocket;
  /** All messages so far, in order. */
  readonly messages: ServerMessage[];
  /** Resolves with the close code and reason. */
  readonly closed: Promise<{ code: number; reason: string }>;
  send(message: unknown): void;
  sendFrame(frame: Frame, metrics?: number): void;
  /** The first message of that type which fulfils the condition, past or future. Rejects when the connection closes first. */
  message<Type extends ServerMessage['type']>(
    type: Type,
    condition?: (message: MessageOf<Type>) => boolean,
  ): Promise<MessageOf<Type>>;
  acknowledged(sequence: number): Promise<void>;
  close(): Promise<void>;
}

export const site = (name: string): Site => ({ name, kind: 'residual', path: `model/${name}`, width: 64 });

export function helloOf(runId: string, changes: Partial<Hello> = {}): Hello {
  return {
    type: 'hello',
    protocol: 1,
    runId,
    runName: `name of ${runId}`,
    catalogue: 1,
    startedAt: 1_700_000_000_000,
    sites: [site('h0/residual'), site('h1/residual')],
    metrics: ['kurtosis', 'rms'],
    scalars: ['loss', 'accuracy'],
    topNeurons: 2,
    tags: {},
    config: {},
    ...changes,
  };
}

/** A frame for `helloOf`: kurtosis and RMS of each site (two unless `values` says otherwise), loss and accuracy. */
export function frameOf(
  sequence: number,
  changes: { kurtosis?: number; values?: number[]; scalars?: number[]; step?: number } = {},
): Frame {
  const kurtosis = changes.kurtosis ?? 1.5;
  const values = Float32Array.from(changes.values ?? [kurtosis, 0.5, 1.25, 0.75]);
  return {
    sequence,
    step: changes.step ?? sequence * 10,
    time: 1_700_000_000_000 + sequence * 1000,
    scalars: Float64Array.from(changes.scalars ?? [2.5 - sequence / 100, 0.5]),
    values,
    topNeurons: {
      count: 2,
      // 0.5 of the energy in neuron 3, 0.25 in neuron 1 at every site but the last, which has one neuron only.
      indices: Uint32Array.from({ length: values.length }, (_, entry) =>
        entry === values.length - 1 ? noNeuron : entry % 2 === 0 ? 3 : 1,
      ),
      shares: Float32Array.from({ length: values.length }, (_, entry) =>
        entry === values.length - 1 ? Number.NaN : entry % 2 === 0 ? 0.5 : 0.25,
      ),
    },
  };
}

/** Opens a connection; says nothing yet. */
export async function connect(url: string, headers: Record<string, string> = {}): Promise<Trainer> {
  const socket = new WebSocket(`${url.replace(/^http/, 'ws')}/v1/ingest`, { headers, perMessageDeflate: false });
  const messages: ServerMessage[] = [];
  const closed = once(socket, 'close').then(([code, reason]) => ({ code: code as number, reason: String(reason) }));
  const waiting = new Set<() => void>();
  const wake = (): void => {
    for (const check of waiting) check();
  };
  socket.on('message', (data) => {
    messages.push(JSON.parse(String(data)) as ServerMessage);
    wake();
  });
  socket.on('close', wake);
  socket.on('error', () => {});
  await once(socket, 'open');

  const message: Trainer['message'] = (type, condition = () => true) =>
    new Promise((resolve, reject) => {
      const check = (): void => {
        const found = messages.find((each) => each.type === type && condition(each as never));
        if (found === undefined && socket.readyState !== WebSocket.CLOSED) return;
        waiting.delete(check);
        if (found !== undefined) resolve(found as never);
        else
          closed.then(
            ({ code, reason }) => reject(new Error(`closed (${code} ${reason}) before a message ${type}`)),
            reject,
          );
      };
      waiting.add(check);
      check();
    });

  return {
    socket,
    messages,
    closed,
    send: (value) => socket.send(typeof value === 'string' ? value : JSON.stringify(value)),
    sendFrame: (frame, metrics = 2) => socket.send(encodeFrame(frame, metrics)),
    message,
    acknowledged: (sequence) =>
      message('acknowledge', ({ lastSequence }) => lastSequence >= sequence).then(() => undefined),
    async close() {
      socket.close();
      await closed;
    },
  };
}

/** Opens a connection, says hello and waits for the welcome. */
export async function join(url: string, hello: Hello): Promise<Trainer> {
  const trainer = await connect(url);
  trainer.send(hello);
  await trainer.message('welcome');
  return trainer;
}

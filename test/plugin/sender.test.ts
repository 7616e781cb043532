/** Delivery against a websocket server that misbehaves on purpose: what is accepted arrives once, or is counted. */
import { once } from 'node:events';
import type { AddressInfo } from 'node:net';
import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest';
import { type WebSocket as Peer, WebSocket, WebSocketServer } from 'ws';
import type { DeliveryEvent, DeliveryReport } from '../../plugin/delivery/delivery.ts';
import { ingestAddress, Sender } from '../../plugin/delivery/sender.ts';
import type { Socket } from '../../plugin/delivery/sender-parts.ts';
import { absentScalars, absentValues, decodeFrame, encodeFrame } from '../../src/frame.ts';
import type { Hello } from '../../src/messages.ts';
import { helloOf } from '../server/trainer.ts';

let server: WebSocketServer;
let url: string;
/** What the server does with a connection; `received` collects sequences over all connections. */
let serve: (peer: Peer, connection: number) => void;
let received: number[];
let hellos: Hello[];

beforeEach(async () => {
  received = [];
  hellos = [];
  server = new WebSocketServer({ port: 0, host: '127.0.0.1', path: '/v1/ingest' });
  let connections = 0;
  server.on('connection', (peer) => serve(peer, connections++));
  await once(server, 'listening');
  url = `ws://127.0.0.1:${(server.address() as AddressInfo).port}`;
});
afterEach(() => {
  for (const client of server.clients) client.terminate();
  server.close();
});

/** Answers hello with a welcome; `onFrame` gets each frame's sequence. */
function welcome(peer: Peer, lastSequence: number, onFrame: (sequence: number) => void): void {
  peer.on('message', (data, isBinary) => {
    if (isBinary) {
      const { sequence } = decodeFrame(new Uint8Array(data as Buffer)).frame;
      received.push(sequence);
      onFrame(sequence);
      return;
    }
    const message = JSON.parse(String(data)) as { type: string };
    if (message.type !== 'hello') return;
    hellos.push(message as Hello);
    peer.send(JSON.stringify({ type: 'welcome', protocol: 1, lastSequence, serverTime: 0, limits: { frameBytes: 1 } }));
  });
}

const acknowledge = (peer: Peer, lastSequence: number) =>
  peer.send(JSON.stringify({ type: 'acknowledge', lastSequence }));

function frame(sequence: number, sites = 1): Uint8Array<ArrayBuffer> {
  const nothing = { count: 0, indices: new Uint32Array(0), shares: new Float32Array(0) };
  return encodeFrame(
    { sequence, step: sequence, time: 0, scalars: absentScalars(0), values: absentValues(sites), topNeurons: nothing },
    1,
  );
}

function start(bufferBytes = 1e6): { sender: Sender; events: DeliveryEvent[]; closed: Promise<DeliveryReport> } {
  const events: DeliveryEvent[] = [];
  let resolve: (report: DeliveryReport) => void;
  const closed = new Promise<DeliveryReport>((done) => {
    resolve = done;
  });
  const connect = (address: string) => new WebSocket(address) as unknown as Socket;
  const sender = new Sender({ url, bufferBytes }, connect, (event) => {
    events.push(event);
    if (event.kind === 'closed') resolve(event.report);
  });
  sender.post({ kind: 'start', hello: helloOf('run'), beginning: 'fresh' });
  return { sender, events, closed };
}

const send = (sender: Sender, from: number, to: number) => {
  for (let sequence = from; sequence <= to; sequence++)
    sender.post({ kind: 'frame', sequence, bytes: frame(sequence) });
};

describe('the sender', () => {
  test('after a lost connection goes on where the server left off', async () => {
    serve = (peer, connection) => {
      if (connection === 0) {
        // Takes five, keeps three, dies.
        welcome(peer, -1, (sequence) => {
          if (sequence === 4) {
            acknowledge(peer, 2);
            setTimeout(() => peer.terminate(), 20);
          }
        });
      } else welcome(peer, 3, (sequence) => acknowledge(peer, sequence));
    };
    const { sender, closed } = start();
    send(sender, 0, 4);
    await vi.waitFor(() => expect(hellos).toHaveLength(2), 5000);
    send(sender, 5, 6);
    sender.post({ kind: 'close', outcome: 'finished', deadlineMilliseconds: 5000 });
    expect(await closed).toMatchObject({ accepted: 7, delivered: 7, dropped: 0, undelivered: 0 });
    // The server's welcome said that 3 was durable as well: only 4 comes again.
    expect(received).toEqual([0, 1, 2, 3, 4, 4, 5, 6]);
  });

  test('keeps what fits, drops the oldest and counts them, while there is no server', async () => {
    serve = (peer) => welcome(peer, -1, (sequence) => acknowledge(peer, sequence));
    const size = frame(0).byteLength;
    const port = Number(new URL(url).port);
    server.close();
    const { sender, events, closed } = start(10 * (size + 160)); // 160 stand for the objects around a frame
    send(sender, 0, 24);
    server = new WebSocketServer({ port, host: '127.0.0.1', path: '/v1/ingest' });
    server.on('connection', (peer) => serve(peer, 0));
    sender.post({ kind: 'close', outcome: 'finished', deadlineMilliseconds: 8000 });
    expect(await closed).toMatchObject({ accepted: 25, delivered: 10, dropped: 15, undelivered: 0 });
    expect(received).toEqual([15, 16, 17, 18, 19, 20, 21, 22, 23, 24]);
    expect(events.filter(({ kind }) => kind === 'warning').length).toBeLessThanOrEqual(1);
  });

  test('tells of sites declared later in its next hello', async () => {
    serve = (peer, connection) =>
      welcome(peer, -1, (sequence) => (connection === 0 ? peer.terminate() : acknowledge(peer, sequence)));
    const { sender, closed } = start();
    const late = { name: 'late', kind: 'custom', path: 'late', width: 4 } as const;
    sender.post({ kind: 'declare', declare: { type: 'declare', sites: [late], scalars: ['accuracy'] } });
    send(sender, 0, 0);
    sender.post({ kind: 'close', outcome: 'finished', deadlineMilliseconds: 5000 });
    expect((await closed).delivered).toBe(1);
    expect(hellos.at(-1)?.sites.at(-1)).toEqual(late);
    expect(hellos.at(-1)?.scalars.at(-1)).toBe('accuracy');
  });

  test('tells of what is declared between hello and welcome, before the frames that need it', async () => {
    const order: string[] = [];
    serve = (peer) => {
      peer.on('message', (data, isBinary) => {
        const { type, sites } = isBinary ? { type: 'frame', sites: [] } : (JSON.parse(String(data)) as Hello);
        order.push(type);
        if (type === 'frame') acknowledge(peer, 0);
        if (type !== 'hello') return;
        expect(sites).toHaveLength(2);
        sender.post({ kind: 'declare', declare: { type: 'declare', sites: [], scalars: ['val_loss'] } });
        send(sender, 0, 0);
        const limits = { frameBytes: 1 };
        setTimeout(
          () => peer.send(JSON.stringify({ type: 'welcome', protocol: 1, lastSequence: -1, serverTime: 0, limits })),
          50,
        );
      });
    };
    const { sender, closed } = start();
    await vi.waitFor(() => expect(order).toContain('frame'), 5000);
    sender.post({ kind: 'close', outcome: 'finished', deadlineMilliseconds: 5000 });
    expect((await closed).delivered).toBe(1);
    expect(order.slice(0, 3)).toEqual(['hello', 'declare', 'frame']);
  });

  test.each([4400, 4401, 4406, 4409, 4413])('gives up when it is refused with %d, and says so once', async (code) => {
    serve = (peer) => peer.close(code, 'not you');
    const { sender, events, closed } = start();
    send(sender, 0, 1);
    await vi.waitFor(() => expect(events.some(({ kind }) => kind === 'warning')).toBe(true), 5000);
    sender.post({ kind: 'close', outcome: 'finished', deadlineMilliseconds: 5000 });
    expect(await closed).toMatchObject({ accepted: 2, delivered: 0, dropped: 0, undelivered: 2 });
    expect(events).toHaveLength(2);
    expect(events[0]).toMatchObject({
      text: expect.stringMatching(new RegExp(`refused this run \\(${code} not you\\)`)),
    });
  });

  test('ends at the deadline when the server takes frames and never confirms', async () => {
    serve = (peer) => welcome(peer, -1, () => {});
    const { sender, closed } = start();
    send(sender, 0, 2);
    sender.post({ kind: 'close', outcome: 'failed', deadlineMilliseconds: 300 });
    expect(await closed).toMatchObject({ accepted: 3, delivered: 0, dropped: 0, undelivered: 3 });
  });

  test('keeps the path of a proxy in front of the server', () => {
    expect(ingestAddress('ws://127.0.0.1:9877')).toBe('ws://127.0.0.1:9877/v1/ingest');
    expect(ingestAddress('wss://example.com/scope/')).toBe('wss://example.com/scope/v1/ingest');
  });
});

/** The websocket that trainers connect to: sockets in, connections (trainer-connection.ts) and their runs kept. */
import type { IncomingMessage } from 'node:http';
import type { Duplex } from 'node:stream';
import { type RawData, type WebSocket, WebSocketServer } from 'ws';
import type { Action, ActionResult, Alert } from '../src/messages.ts';
import type { Gate } from './access/gate.ts';
import type { Admission } from './admission.ts';
import { createArena } from './arena.ts';
import { crowdText } from './guard.ts';
import type { Health } from './health.ts';
import { keepHeartbeat } from './heartbeat.ts';
import type { ServerLimits } from './limits.ts';
import { createPauses, type Pauses } from './pauses.ts';
import type { Operation } from './plan.ts';
import { Refusal } from './refusals.ts';
import type { AdmitRun } from './run-limits.ts';
import { createThrottle } from './throttle.ts';
import { createTrainerConnection, type TrainerConnection, type TrainerSocket } from './trainer-connection.ts';

export interface Ingest {
  /** Takes an HTTP upgrade over. */
  upgrade(request: IncomingMessage, socket: Duplex, head: Buffer): void;
  /** Tells the run's trainer, if it is connected. */
  sendAlert(alert: Alert): void;
  /** Asks the run's trainer to do something; false when it is not connected. What it answers goes to `onActionResult`. */
  sendAction(runId: string, action: Action): boolean;
  /** From now on what trainers send is not read. */
  stopReading(): void;
  /** Closes every connection; trainers will come back. Resolves when all are closed. */
  close(): Promise<void>;
  /** Drops those that did not answer that. */
  terminate(): void;
}

export interface IngestParts {
  readonly gate: Pick<Gate, 'check' | 'addressOf'>;
  readonly admission: Pick<Admission, 'refusalOf'>;
  readonly admitRun: AdmitRun;
  readonly limits: ServerLimits;
  readonly submit: (operation: Operation) => boolean;
  /** Hears what trainers answer to actions. */
  readonly onActionResult?: (runId: string, result: ActionResult) => void;
  readonly health: Health;
  readonly now: () => number;
}

const heartbeatMilliseconds = 15_000;

/** How long a peer may take to answer a close: until then its bytes are still read. */
const closing = { closeTimeout: 3_000 }; // an option of ws that its types lack
/** A read of a socket brings no more than this beyond a hello. */
const readBytes = 128 * 1024;

export function createIngest(parts: IngestParts): Ingest {
  const { gate, admission, admitRun, limits, submit, onActionResult = () => {}, health, now } = parts;
  const server = new WebSocketServer({
    noServer: true,
    perMessageDeflate: false,
    maxPayload: limits.frameBytes,
    ...closing,
  });
  const stopHeartbeat = keepHeartbeat(server, heartbeatMilliseconds, () => health.peerErrors.inc());
  const arena = createArena();
  const connections = new Map<string, TrainerConnection>();
  let reading = true;

  function claim(runId: string, connection: TrainerConnection): void {
    const earlier = connections.get(runId);
    connections.set(runId, connection);
    earlier?.replaced();
  }

  function release(runId: string, connection: TrainerConnection): boolean {
    return connections.get(runId) === connection && connections.delete(runId);
  }

  /** Bytes of all connections that have not said hello: whoever sends those may be anyone. */
  let unannounced = 0;

  /** Counts what a connection sends until it has said hello. Returns the function that ends that. */
  function watchUnannounced(socket: Duplex, pauses: Pauses, refuse: (refusal: Refusal) => void): () => void {
    let own = 0;
    // Whatever else it sends would still be gathered while it is asked to close.
    const turnAway = (refusal: Refusal): void => {
      refuse(refusal);
      pauses.pause('turned away');
      stop();
    };
    const read = (chunk: Buffer): void => {
      own += chunk.length;
      unannounced += chunk.length;
      if (own > limits.textBytes + readBytes)
        turnAway(new Refusal('tooLarge', 'text_size', `a hello of more than ${limits.textBytes} bytes`));
      else if (unannounced > limits.unannouncedBytes) {
        const text = 'too much is arriving from trainers that have not said hello: connect again later';
        turnAway(new Refusal('overloaded', 'unannounced_bytes', text));
      }
    };
    const stop = (): void => {
      socket.off('data', read);
      unannounced -= own;
      own = 0;
    };
    socket.on('data', read);
    return stop;
  }

  server.on('connection', (socket: WebSocket, request: IncomingMessage) => {
    health.trainers.inc();
    const address = gate.addressOf(request);
    const pauses = createPauses(socket);
    const connection = createTrainerConnection({
      socket: trainerSocket(socket, pauses),
      limits,
      authorise: (token) => gate.check(token, 'ingest', address),
      admitRun,
      submit,
      claim(runId, own) {
        announced();
        claim(runId, own);
      },
      release,
      onActionResult,
      health,
      now,
    });
    const announced = watchUnannounced(request.socket, pauses, connection.turnAway);
    const throttle = createThrottle(socket, pauses, limits, health);
    socket.on('message', (data, isBinary) => {
      if (!reading) return;
      const bytes = toBytes(data);
      throttle(bytes.byteLength);
      if (isBinary) connection.receiveFrame(arena.copy(bytes));
      else connection.receiveText(bytes.toString());
    });
    // ws closes the connection itself (1009 for a message over maxPayload, 1002 for a protocol violation) and says so here.
    socket.on('error', (error: Error & { code?: string }) => {
      health.peerErrors.inc();
      if (error.code === 'WS_ERR_UNSUPPORTED_MESSAGE_LENGTH') health.refused.inc({ reason: 'message_size' });
    });
    socket.on('close', () => {
      announced();
      health.trainers.dec();
      connection.ended();
    });
    const crowd = admission.refusalOf(request);
    if (crowd !== undefined) connection.turnAway(new Refusal('overloaded', crowd, crowdText[crowd]));
    else if (server.clients.size > limits.trainers) {
      const text = `as many trainers are connected as the server takes (${limits.trainers}, limit trainers): again later`;
      connection.turnAway(new Refusal('overloaded', 'trainers', text));
    }
  });

  return {
    upgrade(request, socket, head) {
      server.handleUpgrade(request, socket, head, (upgraded) => server.emit('connection', upgraded, request));
    },
    sendAlert: (alert) => connections.get(alert.runId)?.sendAlert(alert),
    sendAction(runId, action) {
      const connection = connections.get(runId);
      connection?.sendAction(action);
      return connection !== undefined;
    },
    stopReading() {
      reading = false;
    },
    close() {
      stopHeartbeat();
      for (const socket of server.clients) socket.close(1001, 'the server is shutting down');
      return new Promise((resolve) => server.close(() => resolve()));
    },
    terminate() {
      for (const socket of server.clients) socket.terminate();
    },
  };
}

/** A websocket whose pauses are one reason among several. */
function trainerSocket(socket: WebSocket, pauses: Pauses): TrainerSocket {
  return {
    send: (text) => socket.send(text),
    close: (code, reason) => socket.close(code, reason),
    terminate: () => socket.terminate(),
    pause: () => pauses.pause('store'),
    resume: () => pauses.resume('store'),
    get bufferedAmount() {
      return socket.bufferedAmount;
    },
  };
}

/** With the default binaryType messages are Buffers; the other forms are for the type checker. */
function toBytes(data: RawData): Buffer {
  if (Buffer.isBuffer(data)) return data;
  return Array.isArray(data) ? Buffer.concat(data) : Buffer.from(data);
}

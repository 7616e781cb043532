/** The websocket that trainers connect to: sockets in, connections (trainer-connection.ts) and their runs kept. */
import type { IncomingMessage } from 'node:http';
import type { Duplex } from 'node:stream';
import { type RawData, type WebSocket, WebSocketServer } from 'ws';
import { type Action, type ActionResult, type Alert, limits } from '../src/messages.ts';
import type { Health } from './health.ts';
import { keepHeartbeat } from './heartbeat.ts';
import type { Operation } from './plan.ts';
import { createTrainerConnection, type TrainerConnection } from './trainer-connection.ts';

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
  readonly token: string | undefined;
  readonly submit: (operation: Operation) => boolean;
  /** Hears what trainers answer to actions. */
  readonly onActionResult?: (runId: string, result: ActionResult) => void;
  readonly health: Health;
  readonly now: () => number;
}

const heartbeatMilliseconds = 15_000;

export function createIngest({ token, submit, onActionResult = () => {}, health, now }: IngestParts): Ingest {
  const server = new WebSocketServer({ noServer: true, perMessageDeflate: false, maxPayload: limits.frameBytes });
  const stopHeartbeat = keepHeartbeat(server, heartbeatMilliseconds, () => health.peerErrors.inc());
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

  server.on('connection', (socket: WebSocket) => {
    health.trainers.inc();
    const connection = createTrainerConnection({
      socket,
      token,
      submit,
      claim,
      release,
      onActionResult,
      health,
      now,
    });
    socket.on('message', (data, isBinary) => {
      if (!reading) return;
      if (isBinary) connection.receiveFrame(toBytes(data));
      else connection.receiveText(toBytes(data).toString());
    });
    // ws closes the connection itself (1009 for a message over maxPayload, 1002 for a protocol violation) and says so here.
    socket.on('error', (error: Error & { code?: string }) => {
      health.peerErrors.inc();
      if (error.code === 'WS_ERR_UNSUPPORTED_MESSAGE_LENGTH') health.refused.inc({ reason: 'too_large' });
    });
    socket.on('close', () => {
      health.trainers.dec();
      connection.ended();
    });
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

/** With the default binaryType messages are Buffers; the other forms are for the type checker. */
function toBytes(data: RawData): Buffer {
  if (Buffer.isBuffer(data)) return data;
  return Array.isArray(data) ? Buffer.concat(data) : Buffer.from(data);
}

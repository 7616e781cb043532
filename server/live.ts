/** The websocket that viewers watch: runs, frames and alerts as they happen (docs/api.md). Nothing is built while nobody watches. */
import type { IncomingMessage } from 'node:http';
import type { Duplex } from 'node:stream';
import { type WebSocket, WebSocketServer } from 'ws';
import { closeCodes } from '../src/messages.ts';
import { urlOf } from './access/hosts.ts';
import type { Principal } from './access/tokens.ts';
import type { GroupAlert } from './group-alerts.ts';
import type { Health } from './health.ts';
import { keepHeartbeat } from './heartbeat.ts';
import type { ServerLimits } from './limits.ts';
import { createPauses } from './pauses.ts';
import type { Audience } from './plan.ts';
import { createThrottle } from './throttle.ts';
import { toFrameView, toRunSummary } from './views.ts';

export interface Live extends Audience {
  groupAlertChanged(alert: GroupAlert): void;
  /** Takes an HTTP upgrade over; the viewer is closed when whoever it is may watch no longer. */
  upgrade(request: IncomingMessage, socket: Duplex, head: Buffer, who: Principal): void;
  /** Whether there are as many viewers as may be. */
  full(): boolean;
  close(): Promise<void>;
  /** Drops viewers that did not answer that. */
  terminate(): void;
}

export const livePath = '/v1/live';

/** A viewer with more than this unsent misses frames. */
const slowBytes = 1024 * 1024;
/** A viewer with more than this unsent, by runs and alerts alone, is not there any more. */
const deadBytes = 8 * slowBytes;
const heartbeatMilliseconds = 15_000;

export function createLive(limits: ServerLimits, health: Health): Live {
  const server = new WebSocketServer({ noServer: true, perMessageDeflate: false, maxPayload: 4096 });
  const stopHeartbeat = keepHeartbeat(server, heartbeatMilliseconds, () => health.peerErrors.inc());
  /** Viewers and the run whose frames they want, undefined for every run's. */
  const viewers = new Map<WebSocket, string | undefined>();

  server.on('connection', (socket: WebSocket, request: IncomingMessage, who: Principal) => {
    const over = (): void => socket.close(closeCodes.unauthorised, 'signed out, or the token was withdrawn');
    who.ended.addEventListener('abort', over);
    const throttle = createThrottle(socket, createPauses(socket), limits, health);
    socket.on('message', (data) => throttle('byteLength' in data ? data.byteLength : 0));
    viewers.set(socket, urlOf(request)?.searchParams.get('run') ?? undefined);
    health.viewers.set(viewers.size);
    socket.on('error', () => health.peerErrors.inc());
    socket.on('close', () => {
      who.ended.removeEventListener('abort', over);
      viewers.delete(socket);
      health.viewers.set(viewers.size);
    });
  });

  function tellAll(message: object): void {
    const text = JSON.stringify(message);
    for (const socket of viewers.keys()) {
      if (socket.bufferedAmount > deadBytes) socket.terminate();
      else socket.send(text);
    }
  }

  return {
    upgrade(request, socket, head, who) {
      server.handleUpgrade(request, socket, head, (upgraded) => server.emit('connection', upgraded, request, who));
    },
    full: () => viewers.size >= limits.viewers,
    runChanged(record) {
      if (viewers.size > 0) tellAll({ type: 'run', run: toRunSummary(record) });
    },
    frameStored(record, frame) {
      let text: string | undefined;
      for (const [socket, wanted] of viewers) {
        if (wanted !== undefined && wanted !== record.id) continue;
        if (socket.bufferedAmount > slowBytes) {
          health.viewerMessagesSkipped.inc();
          continue;
        }
        text ??= JSON.stringify({
          type: 'frame',
          run: record.id,
          frame: toFrameView(frame, record.description),
          summary: toRunSummary(record),
        });
        socket.send(text);
      }
    },
    alertChanged(alert) {
      if (viewers.size > 0) tellAll({ type: 'alert', alert });
    },
    groupAlertChanged(alert) {
      if (viewers.size > 0) tellAll(alert);
    },
    runDeleted(id) {
      if (viewers.size > 0) tellAll({ type: 'deleted', run: id });
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

/** The live websocket: one connection that comes back by itself, waiting longer after every failure. */
import { addressOf } from './api.ts';
import { backoff } from './backoff.ts';
import type { LiveMessage } from './types.ts';

export interface LiveHandlers {
  opened(): void;
  message(message: LiveMessage): void;
  /** The connection is gone or was not made; another try follows at `retryAt` (milliseconds since 1970). */
  closed(retryAt: number): void;
}

export interface Live {
  /** Tries at once instead of when the waiting is over. */
  retryNow(): void;
  close(): void;
}

/** Connects for the frames of one run, or of none yet. */
export function openLive(run: string | undefined, handlers: LiveHandlers): Live {
  let socket: WebSocket | undefined;
  let timer: number | undefined;
  let failures = 0;
  let ended = false;

  function connect(): void {
    clearTimeout(timer);
    const url = addressOf('v1/live', { run });
    url.protocol = url.protocol === 'https:' ? 'wss:' : 'ws:';
    url.hash = '';
    const own = new WebSocket(url);
    socket = own;
    own.addEventListener('open', () => {
      failures = 0;
      handlers.opened();
    });
    own.addEventListener('message', ({ data }) => {
      if (typeof data === 'string') handlers.message(JSON.parse(data) as LiveMessage);
    });
    own.addEventListener('close', () => {
      if (ended || socket !== own) return;
      const wait = backoff(failures++, Math.random());
      timer = setTimeout(connect, wait);
      handlers.closed(Date.now() + wait);
    });
  }

  connect();
  return {
    retryNow() {
      if (socket?.readyState === WebSocket.CLOSED && !ended) connect();
    },
    close() {
      ended = true;
      clearTimeout(timer);
      socket?.close();
    },
  };
}

/** A websocket of npm `ws` that notices when its peer vanishes without closing: a frozen server, a cable that was pulled. */
import { WebSocket } from 'ws';
import type { Socket } from './sender-parts.ts';

/** As often as the server pings. */
export const heartbeatMilliseconds = 15_000;

/** Pings each interval, and breaks the connection off when nothing came since the ping before. */
export function connectWithHeartbeat(url: string, intervalMilliseconds = heartbeatMilliseconds): Socket {
  const socket = new WebSocket(url, { perMessageDeflate: false, handshakeTimeout: 10_000 });
  let isAlive = true;
  for (const sign of ['pong', 'ping', 'message'] as const) {
    socket.on(sign, () => {
      isAlive = true;
    });
  }
  socket.on('open', () => {
    const timer = setInterval(() => {
      if (!isAlive) {
        socket.terminate();
        return;
      }
      isAlive = false;
      socket.ping();
    }, intervalMilliseconds);
    socket.on('close', () => clearInterval(timer));
  });
  return socket as unknown as Socket;
}

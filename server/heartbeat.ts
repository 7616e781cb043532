/** Drops websocket peers that vanished without closing: whoever was silent for a whole interval after a ping is gone. */
import type { WebSocket, WebSocketServer } from 'ws';

/** Pings every peer each interval. Returns the function that stops it. */
export function keepHeartbeat(server: WebSocketServer, intervalMilliseconds: number, lost: () => void): () => void {
  const answered = new WeakSet<WebSocket>();
  server.on('connection', (socket) => {
    answered.add(socket);
    for (const sign of ['pong', 'message', 'ping'] as const) socket.on(sign, () => answered.add(socket));
  });
  const timer = setInterval(() => {
    for (const socket of server.clients) {
      // Nothing is read from a peer that waits for the store, its answers neither.
      if (answered.delete(socket) || socket.isPaused) {
        if (socket.readyState === socket.OPEN) socket.ping();
      } else {
        lost();
        socket.terminate();
      }
    }
  }, intervalMilliseconds);
  return () => clearInterval(timer);
}

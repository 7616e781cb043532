/** Several reasons not to read a socket, such as its rate and a store that is behind: it is read again when none is left. */
import type { WebSocket } from 'ws';

export interface Pauses {
  pause(reason: string): void;
  resume(reason: string): void;
}

export function createPauses(socket: Pick<WebSocket, 'pause' | 'resume'>): Pauses {
  const reasons = new Set<string>();
  return {
    pause(reason) {
      if (reasons.size === 0) socket.pause();
      reasons.add(reason);
    },
    resume(reason) {
      if (reasons.delete(reason) && reasons.size === 0) socket.resume();
    },
  };
}

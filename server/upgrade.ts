/** Websocket upgrades: which path is whose, and who is refused before a websocket exists. */
import type { Server } from 'node:http';
import type { Duplex } from 'node:stream';
import { ingestPath } from '../src/messages.ts';
import { type AccessRules, hostRefusal, originRefusal, tokenMatches, tokenOf, urlOf } from './access.ts';
import type { Health } from './health.ts';
import type { Ingest } from './ingest.ts';
import { type Live, livePath } from './live.ts';

export interface UpgradeParts {
  readonly ingest: Pick<Ingest, 'upgrade'>;
  readonly live: Pick<Live, 'upgrade'>;
  readonly token: string | undefined;
  readonly access: AccessRules;
  readonly health: Health;
}

export function routeUpgrades(server: Server, { ingest, live, token, access, health }: UpgradeParts): void {
  server.on('upgrade', (request, socket, head) => {
    socket.on('error', () => health.peerErrors.inc());
    const path = urlOf(request)?.pathname;
    const refusal = hostRefusal(request, access) ?? originRefusal(request, access);
    if (refusal !== undefined) {
      health.refused.inc({ reason: 'origin' });
      return refuse(socket, '403 Forbidden', refusal);
    }
    // Trainers show their token in hello.
    if (path === ingestPath) return ingest.upgrade(request, socket, head);
    if (path !== livePath) return refuse(socket, '404 Not Found', `websockets are ${ingestPath} and ${livePath}`);
    if (!tokenMatches(token, tokenOf(request))) {
      health.refused.inc({ reason: 'unauthorised' });
      return refuse(socket, '401 Unauthorized', 'send the token in the query: ?token=');
    }
    live.upgrade(request, socket, head);
  });
}

function refuse(socket: Duplex, status: string, detail: string): void {
  socket.once('finish', () => socket.destroy());
  socket.end(
    `HTTP/1.1 ${status}\r\nConnection: close\r\nContent-Type: text/plain; charset=utf-8\r\nContent-Length: ${Buffer.byteLength(detail)}\r\n\r\n${detail}`,
  );
}

/** How many connections there may be: over all, and from one address. */
import type { IncomingMessage, Server } from 'node:http';
import type { Server as TlsServer } from 'node:https';
import type { Socket } from 'node:net';
import type { Duplex } from 'node:stream';
import { clientOf, limitKey } from './access/addresses.ts';
import type { Health } from './health.ts';
import type { ServerLimits } from './limits.ts';

export type Crowd = 'connections' | 'connections_per_address';

export interface Admission {
  /** Counts the server's connections from now on. */
  watch(server: Server | TlsServer): void;
  /** What the connection is too many of, once it has sent a request. */
  refusal(socket: Socket): Crowd | undefined;
  /** The same for a websocket, which a trusted proxy's client counts for as long as it lives. */
  refusalOf(request: IncomingMessage): Crowd | undefined;
}

export interface AdmissionParts {
  readonly limits: Pick<ServerLimits, 'connections' | 'connectionsPerAddress'>;
  readonly isTrustedProxy: (address: string) => boolean;
  readonly health: Pick<Health, 'refused' | 'connections'>;
}

/** Connections beyond a limit that are still told so, by an answer or a close code; those beyond these are cut. */
const told = 100;

export function createAdmission({ limits, isTrustedProxy, health }: AdmissionParts): Admission {
  const byAddress = new Map<string, number>();
  /** By both ends of the connection: with TLS, requests come with another socket than the one that arrived. */
  const crowded = new Map<string, Crowd>();
  let open = 0;

  /** Counts one more of the key until the socket closes; gives the number there are. */
  function count(key: string, socket: Duplex): number {
    const now = (byAddress.get(key) ?? 0) + 1;
    byAddress.set(key, now);
    socket.once('close', () => {
      const left = (byAddress.get(key) ?? 1) - 1;
      if (left > 0) byAddress.set(key, left);
      else byAddress.delete(key);
    });
    return now;
  }

  function cut(socket: Socket, reason: Crowd): void {
    health.refused.inc({ reason });
    socket.destroy();
  }

  function arrived(socket: Socket): void {
    const address = socket.remoteAddress ?? '';
    const name = nameOf(socket);
    open += 1;
    health.connections.inc();
    socket.once('close', () => {
      open -= 1;
      health.connections.dec();
      crowded.delete(name);
    });
    // A proxy's connections are those of its many clients.
    const ofAddress = isTrustedProxy(address) ? 0 : count(limitKey(address), socket);
    if (open > limits.connections) crowded.set(name, 'connections');
    else if (ofAddress > limits.connectionsPerAddress) crowded.set(name, 'connections_per_address');
    if (open > limits.connections + told) cut(socket, 'connections');
    else if (ofAddress > limits.connectionsPerAddress + told) cut(socket, 'connections_per_address');
  }

  return {
    // With TLS that is before any handshake.
    watch: (server) => void server.on('connection', arrived),
    refusal: (socket) => crowded.get(nameOf(socket)),
    refusalOf(request) {
      const crowd = crowded.get(nameOf(request.socket));
      if (crowd !== undefined) return crowd;
      const client = clientOf(request, isTrustedProxy);
      if (isTrustedProxy(client) || !isTrustedProxy(request.socket.remoteAddress ?? '')) return undefined;
      return count(limitKey(client), request.socket) > limits.connectionsPerAddress
        ? 'connections_per_address'
        : undefined;
    },
  };
}

function nameOf({ remoteAddress, remotePort }: Socket): string {
  return `${remoteAddress} ${remotePort}`;
}

/** Websocket upgrades: which path is whose, and who is refused before a websocket exists. */
import { type IncomingMessage, type Server, STATUS_CODES } from 'node:http';
import type { Server as TlsServer } from 'node:https';
import type { Duplex } from 'node:stream';
import { ingestPath } from '../src/messages.ts';
import { Denied, type Gate } from './access/gate.ts';
import { type AccessRules, hostRefusal, originRefusal, requestFault, urlOf } from './access/hosts.ts';
import type { Principal } from './access/tokens.ts';
import type { Admission } from './admission.ts';
import { crowdText } from './guard.ts';
import type { Health } from './health.ts';
import type { Ingest } from './ingest.ts';
import { type Live, livePath } from './live.ts';
import type { RefusalReason } from './refusals.ts';

export interface UpgradeParts {
  readonly ingest: Pick<Ingest, 'upgrade'>;
  readonly live: Pick<Live, 'upgrade' | 'full'>;
  readonly gate: Gate;
  readonly access: AccessRules;
  readonly admission: Pick<Admission, 'refusalOf'>;
  readonly health: Health;
  readonly isDraining: () => boolean;
}

/** Thrown to answer an upgrade with a status instead; without a reason it is not counted. */
class NoUpgrade extends Error {
  readonly status: number;
  readonly reason: RefusalReason | undefined;

  constructor(status: number, reason: RefusalReason | undefined, detail: string) {
    super(detail);
    this.status = status;
    this.reason = reason;
  }
}

export function routeUpgrades(
  server: Server | TlsServer,
  { ingest, live, gate, access, admission, health, isDraining }: UpgradeParts,
): void {
  server.on('upgrade', (request, socket, head) => {
    socket.on('error', () => health.peerErrors.inc());
    try {
      checkRequest(request, access);
      // A load balancer tries another server; a trainer that came directly comes back.
      if (isDraining()) throw new NoUpgrade(503, undefined, 'the server is shutting down: go to another one');
      const path = urlOf(request)?.pathname;
      // Trainers show their token in hello, and hear by a close code what they are too many of.
      if (path === ingestPath) ingest.upgrade(request, socket, head);
      else if (path === livePath) live.upgrade(request, socket, head, admitViewer(request));
      else throw new NoUpgrade(404, undefined, `websockets are ${ingestPath} and ${livePath}`);
    } catch (error) {
      if (!(error instanceof NoUpgrade) && !(error instanceof Denied)) throw error;
      if (error.reason !== undefined) health.refused.inc({ reason: error.reason });
      refuse(socket, error.status, error.message);
    }
  });

  function admitViewer(request: IncomingMessage): Principal {
    const crowd = admission.refusalOf(request);
    if (crowd !== undefined) throw new NoUpgrade(503, crowd, crowdText[crowd]);
    const who = gate.admit(request, 'read');
    if (live.full())
      throw new NoUpgrade(503, 'viewers', 'as many viewers are connected as the server takes (limit viewers)');
    return who;
  }
}

function checkRequest(request: IncomingMessage, access: AccessRules): void {
  const fault = requestFault(request);
  if (fault !== undefined) throw new NoUpgrade(400, 'bad_request', fault);
  // A proxy and this server could disagree about where such a body ends and the websocket begins.
  if (request.headers['transfer-encoding'] !== undefined || Number(request.headers['content-length'] ?? 0) !== 0)
    throw new NoUpgrade(400, 'bad_request', 'an upgrade has no body');
  const foreignHost = hostRefusal(request, access);
  if (foreignHost !== undefined) throw new NoUpgrade(403, 'host', foreignHost);
  const foreignPage = originRefusal(request, access);
  if (foreignPage !== undefined) throw new NoUpgrade(403, 'origin', foreignPage);
}

function refuse(socket: Duplex, status: number, detail: string): void {
  socket.once('finish', () => socket.destroy());
  const head = [
    `HTTP/1.1 ${status} ${STATUS_CODES[status]}`,
    'Connection: close',
    'Content-Type: text/plain; charset=utf-8',
    'X-Content-Type-Options: nosniff',
    `Content-Length: ${Buffer.byteLength(detail)}`,
  ];
  socket.end(`${head.join('\r\n')}\r\n\r\n${detail}`);
}

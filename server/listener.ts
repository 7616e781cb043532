/** The HTTP server itself, with or without TLS: bounds on headers and on time, certificates that are read again when they change. */
import { readFileSync, unwatchFile, watchFile } from 'node:fs';
import { createServer, type RequestListener, type Server, type ServerOptions } from 'node:http';
import { createServer as createTlsServer, type Server as TlsServer } from 'node:https';
import type { Duplex } from 'node:stream';
import { createSecureContext, type SecureContextOptions } from 'node:tls';
import { messageOf, OutlierscopeError } from '../src/errors.ts';
import type { Health } from './health.ts';
import type { ServerLimits } from './limits.ts';
import type { TlsFiles } from './options.ts';
import type { RefusalReason } from './refusals.ts';

export interface Listener {
  readonly server: Server | TlsServer;
  /** Reads the certificate again, if there is one. @throws OutlierscopeError `invalid-tls`; the earlier one stays then */
  reload(): void;
  /** Looks at the files no more. */
  close(): void;
}

/** Certificates are renewed days before they end, so the files need no closer look. */
const watchMilliseconds = 10_000;

export function createListener(
  app: RequestListener,
  tls: TlsFiles | undefined,
  { headerBytes, headerSeconds, requestSeconds }: ServerLimits,
  health: Health,
): Listener {
  const bounds: ServerOptions = {
    maxHeaderSize: headerBytes,
    headersTimeout: headerSeconds * 1000,
    requestTimeout: Math.max(headerSeconds, requestSeconds) * 1000,
    // How often those two are looked at.
    connectionsCheckingInterval: 1000,
  };
  const refuse = createRefuse(health);
  if (tls === undefined) {
    const server = createServer(bounds, app);
    server.on('clientError', refuse);
    return { server, reload() {}, close() {} };
  }

  const server = createTlsServer(
    { ...bounds, ...readCertificate(tls), minVersion: 'TLSv1.2', handshakeTimeout: headerSeconds * 1000 },
    app,
  );
  server.on('clientError', refuse);
  server.on('tlsClientError', () => health.peerErrors.inc());
  const reload = (): void => server.setSecureContext(readCertificate(tls));
  const changed = (): void => {
    try {
      reload();
    } catch (error) {
      // Halfway through a renewal the files do not fit each other; the next look follows.
      console.error(`outlierscope server: ${messageOf(error)}; the certificate stays as it was`);
    }
  };
  const files = [tls.certificate, tls.key];
  for (const file of files) watchFile(file, { interval: watchMilliseconds, persistent: false }, changed);
  return {
    server,
    reload,
    close() {
      for (const file of files) unwatchFile(file, changed);
    },
  };
}

/** Requests that are none, too long or too slow: Node has no answer of its own where this event is listened to. */
function createRefuse(health: Pick<Health, 'refused' | 'peerErrors'>) {
  return (error: Error & { code?: string }, socket: Duplex): void => {
    if (error.code === 'ECONNRESET' || !socket.writable) {
      health.peerErrors.inc();
      socket.destroy();
      return;
    }
    const { reason, status } = refusals[error.code ?? ''] ?? { reason: 'bad_request', status: '400 Bad Request' };
    health.refused.inc({ reason });
    socket.once('finish', () => socket.destroy());
    socket.end(`HTTP/1.1 ${status}\r\nConnection: close\r\nContent-Length: 0\r\n\r\n`);
  };
}

const refusals: Readonly<Record<string, { reason: RefusalReason; status: string }>> = {
  HPE_HEADER_OVERFLOW: { reason: 'header_size', status: '431 Request Header Fields Too Large' },
  ERR_HTTP_REQUEST_TIMEOUT: { reason: 'slow_request', status: '408 Request Timeout' },
};

/** @throws OutlierscopeError `invalid-tls` for files that cannot be read, hold no certificate or key, or do not belong together. */
function readCertificate({ certificate, key }: TlsFiles): SecureContextOptions {
  const context = { cert: readPem(certificate, 'certificate'), key: readPem(key, 'key') };
  try {
    createSecureContext(context);
  } catch (cause) {
    throw new OutlierscopeError(`the certificate ${certificate} and the key ${key} are no pair: ${messageOf(cause)}`, {
      code: 'invalid-tls',
      hint: 'give the PEM files of one certificate, its chain after it, and its key without a passphrase',
      cause,
    });
  }
  return context;
}

function readPem(file: string, what: string): Buffer {
  try {
    return readFileSync(file);
  } catch (cause) {
    throw new OutlierscopeError(`cannot read the TLS ${what} ${file}: ${(cause as NodeJS.ErrnoException).code}`, {
      code: 'invalid-tls',
      hint: 'give a file in PEM format that the server may read',
      cause,
    });
  }
}

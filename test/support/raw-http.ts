/** Requests written by hand, as no client library would send them. */
import { connect, type Socket } from 'node:net';

export interface RawConnection {
  readonly socket: Socket;
  /** All that came back so far. */
  received(): string;
  /** Resolves with all that came back once the other side has closed. */
  readonly closed: Promise<string>;
}

/** Opens a TCP connection to a port of loopback and sends each text. */
export async function openRaw(port: number, ...texts: readonly string[]): Promise<RawConnection> {
  const socket = connect(port, '127.0.0.1');
  let text = '';
  socket.on('data', (chunk) => {
    text += chunk.toString('latin1');
  });
  socket.on('error', () => {}); // reset by the server: 'close' follows
  const closed = new Promise<string>((resolve) => socket.on('close', () => resolve(text)));
  for (const each of texts) socket.write(each, 'latin1');
  return { socket, received: () => text, closed };
}

/** A request's text: the line, headers, an empty line. */
export function head(line: string, headers: Readonly<Record<string, string>> = {}): string {
  const all = { Host: 'localhost', Connection: 'close', ...headers };
  return [`${line} HTTP/1.1`, ...Object.entries(all).map(([name, value]) => `${name}: ${value}`), '', ''].join('\r\n');
}

/** The status of the first answer; 0 for none. */
export const statusOf = (answer: string): number => Number(/^HTTP\/1\.1 (\d{3})/.exec(answer)?.[1] ?? 0);

export const upgradeHeaders = {
  Connection: 'Upgrade',
  Upgrade: 'websocket',
  'Sec-WebSocket-Version': '13',
  'Sec-WebSocket-Key': 'dGhlIHNhbXBsZSBub25jZQ==',
} as const;

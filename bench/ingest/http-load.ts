/** POSTs prepared requests over a number of kept connections, each one after the other's answer: as cheap as a client can be. */
import { once } from 'node:events';
import { connect, type Socket } from 'node:net';

export interface HttpLoad {
  readonly port: number;
  readonly connections: number;
  /** The next request, head and body; undefined when there is no more. */
  readonly next: () => PreparedRequest | undefined;
}

export interface PreparedRequest {
  readonly bytes: readonly Uint8Array[];
  readonly samples: number;
}

/** Runs until the time is over or the requests are; the samples of answered requests, and how long that took. */
export async function runHttpLoad(load: HttpLoad, milliseconds: number): Promise<{ samples: number; seconds: number }> {
  const sockets = await Promise.all(Array.from({ length: load.connections }, () => open(load.port)));
  const began = performance.now();
  const end = began + milliseconds;
  let samples = 0;
  let last = began;
  await Promise.all(
    sockets.map(async (socket) => {
      while (performance.now() < end) {
        const request = load.next();
        if (request === undefined) break;
        socket.cork();
        for (const part of request.bytes) socket.write(part);
        socket.uncork();
        await answered(socket);
        last = performance.now();
        if (last <= end) samples += request.samples;
      }
      socket.destroy();
    }),
  );
  return { samples, seconds: (Math.min(last, end) - began) / 1000 };
}

async function open(port: number): Promise<Socket> {
  const socket = connect({ host: '127.0.0.1', port, noDelay: true });
  await once(socket, 'connect');
  return socket;
}

/** Resolves with the answer's head; answers here are short and have no body that matters. */
function answered(socket: Socket): Promise<void> {
  return new Promise((resolve, reject) => {
    socket.once('error', reject);
    socket.once('data', (data: Buffer) => {
      socket.off('error', reject);
      const line = data.toString('latin1', 0, 64).split('\r\n')[0] as string;
      if (/^HTTP\/1\.1 2\d\d/.test(line)) resolve();
      else reject(new Error(`the server answered ${line}: ${data.toString('latin1').slice(0, 500)}`));
    });
  });
}

/** The head of a POST with a body of that many bytes. */
export function postHead(path: string, port: number, length: number, headers: readonly string[]): Uint8Array {
  const lines = [`POST ${path} HTTP/1.1`, `Host: 127.0.0.1:${port}`, `Content-Length: ${length}`, ...headers];
  return Buffer.from(`${lines.join('\r\n')}\r\n\r\n`, 'latin1');
}

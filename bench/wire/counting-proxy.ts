/** A proxy between a trainer and its server that counts what goes over the wire, both ways. */
import { once } from 'node:events';
import { type AddressInfo, connect, createServer, type Socket } from 'node:net';

export interface CountingProxy {
  readonly port: number;
  /** Bytes so far, HTTP upgrade and websocket framing included. */
  readonly counted: { readonly toServer: number; readonly toTrainer: number };
  stop(): Promise<void>;
}

export async function startCountingProxy(serverPort: number): Promise<CountingProxy> {
  const counted = { toServer: 0, toTrainer: 0 };
  const sockets = new Set<Socket>();
  const proxy = createServer((trainer) => {
    const server = connect(serverPort, '127.0.0.1');
    const join = (from: Socket, to: Socket, direction: keyof typeof counted): void => {
      sockets.add(from);
      from.on('data', (data: Buffer) => {
        counted[direction] += data.length;
      });
      from.on('error', () => to.destroy());
      from.pipe(to);
    };
    join(trainer, server, 'toServer');
    join(server, trainer, 'toTrainer');
  });
  proxy.listen(0, '127.0.0.1');
  await once(proxy, 'listening');
  return {
    port: (proxy.address() as AddressInfo).port,
    counted,
    async stop() {
      for (const socket of sockets) socket.destroy();
      proxy.close();
      await once(proxy, 'close');
    },
  };
}

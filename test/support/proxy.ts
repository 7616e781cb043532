/** A TCP proxy that misbehaves on purpose: between a trainer and its server. */
import { once } from 'node:events';
import { type AddressInfo, connect, createServer, type Socket } from 'node:net';

/** What happens to a connection. `bytes` counts what the trainer sent on it. */
export type Mischief =
  | { readonly kind: 'none' }
  /** Each piece arrives so much later. */
  | { readonly kind: 'delay'; readonly milliseconds: number }
  /** The trainer's bytes arrive a few at a time. */
  | { readonly kind: 'trickle'; readonly bytes: number }
  /** After so many bytes both sides are closed, in the middle of whatever is under way. */
  | { readonly kind: 'cut'; readonly bytes: number }
  /** The same with a reset. */
  | { readonly kind: 'reset'; readonly bytes: number }
  /** After so many bytes nothing goes through any more, in either direction, and nobody is told. */
  | { readonly kind: 'black hole'; readonly bytes: number }
  /** After so many bytes the answers of the server are lost, and nobody is told. */
  | { readonly kind: 'mute'; readonly bytes: number };

export interface BadNetwork {
  /** As trainers write it. */
  readonly url: string;
  /** Connections so far. */
  readonly connections: () => number;
  close(): Promise<void>;
}

/** `plan` says what happens to each connection, counted from 0. */
export async function startProxy(
  targetPort: () => number,
  plan: (connection: number) => Mischief,
): Promise<BadNetwork> {
  let connections = 0;
  const sockets = new Set<Socket>();
  const server = createServer({ allowHalfOpen: true }, (trainer) => {
    const mischief = plan(connections++);
    const target = connect({ port: targetPort(), host: '127.0.0.1', allowHalfOpen: true });
    for (const socket of [trainer, target]) {
      sockets.add(socket);
      socket.on('error', () => {});
      socket.on('close', () => sockets.delete(socket));
    }
    relay(trainer, target, mischief);
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  return {
    url: `ws://127.0.0.1:${(server.address() as AddressInfo).port}`,
    connections: () => connections,
    async close() {
      for (const socket of sockets) socket.destroy();
      server.close();
      await once(server, 'close');
    },
  };
}

function relay(trainer: Socket, target: Socket, mischief: Mischief): void {
  let sent = 0;
  const isOver = () => 'bytes' in mischief && mischief.kind !== 'trickle' && sent >= mischief.bytes;
  const end = () => {
    for (const socket of [trainer, target]) {
      if (mischief.kind === 'reset') socket.resetAndDestroy();
      else socket.destroy();
    }
  };
  trainer.on('data', (data: Buffer) => {
    const before = sent;
    sent += data.length;
    if (!isOver()) return pass(target, data, mischief);
    // The part up to the limit still arrives: a frame that is cut in two.
    if ('bytes' in mischief && before < mischief.bytes)
      pass(target, data.subarray(0, mischief.bytes - before), mischief);
    if (mischief.kind === 'mute') pass(target, data.subarray(Math.max(0, mischief.bytes - before)), mischief);
    if (mischief.kind === 'cut' || mischief.kind === 'reset') setTimeout(end, 5);
  });
  target.on('data', (data: Buffer) => {
    if (isOver() && (mischief.kind === 'black hole' || mischief.kind === 'mute')) return;
    pass(trainer, data, mischief);
  });
  const holdsBack = () => isOver() && (mischief.kind === 'black hole' || mischief.kind === 'mute');
  trainer.on('close', () => target.destroy());
  target.on('close', () => {
    if (!holdsBack()) trainer.destroy();
  });
  trainer.on('end', () => target.end());
  target.on('end', () => {
    if (!holdsBack()) trainer.end();
  });
}

function pass(to: Socket, data: Buffer, mischief: Mischief): void {
  if (mischief.kind === 'delay') setTimeout(() => to.write(data), mischief.milliseconds);
  else if (mischief.kind === 'trickle') trickle(to, data, mischief.bytes);
  else to.write(data);
}

const queues = new WeakMap<Socket, Promise<void>>();

/** One small piece for each turn of the event loop. */
function trickle(to: Socket, data: Buffer, bytes: number): void {
  const before = queues.get(to) ?? Promise.resolve();
  const write = async (): Promise<void> => {
    for (let at = 0; at < data.length; at += bytes) {
      to.write(data.subarray(at, at + bytes));
      await new Promise((resolve) => setImmediate(resolve));
    }
  };
  queues.set(to, before.then(write));
}

/**
 * Reads tensors that lie in host memory. tfjs-node copies what it reads into a new buffer, a megabyte for a layer; left to the
 * garbage collector, those of one sampled step call for a full collection, which cost as much as the measuring. So they are given
 * back at once.
 */
import * as tf from '@tensorflow/tfjs-core';

/** Hands the values to `work`, which must keep no view of them. */
export function withValues<Result>(x: tf.Tensor, work: (values: Float32Array) => Result): Result {
  const isCopied = copiesOnRead(x);
  const values = x.dataSync<'float32'>();
  try {
    return work(values);
  } finally {
    if (isCopied) giveBack(values.buffer as ArrayBuffer);
  }
}

/** The part of tfjs-node's backend that tells where values are: null for those that TensorFlow has, else the tensor's own. */
interface NativeBackend {
  readonly tensorMap?: { get(id: object): { readonly values?: unknown } | undefined };
}

function copiesOnRead(x: tf.Tensor): boolean {
  if (tf.getBackend() !== 'tensorflow') return false;
  return (tf.backend() as unknown as NativeBackend).tensorMap?.get(x.dataId)?.values === null;
}

/** Newer than the library's types: Node 22 and browsers have it. */
type Transferable = ArrayBuffer & { transfer?(length: number): ArrayBuffer };

function giveBack(buffer: Transferable): void {
  if (buffer.transfer !== undefined) buffer.transfer(0);
  else if (nowhereIsClosed) nowhere?.postMessage(null, [buffer]);
}

/**
 * In Node 20 a buffer is freed by sending it where nobody listens. The other end is closed by the event loop's next turn; until
 * then messages would be kept for it, so a loop that never yields leaves its buffers to the garbage collector.
 */
let nowhereIsClosed = false;
const nowhere = openNowhere();

interface Port {
  postMessage(message: unknown, transfer: ArrayBuffer[]): void;
  addEventListener(name: 'close', listener: () => void): void;
  close(): void;
}

function openNowhere(): Port | undefined {
  if ('transfer' in ArrayBuffer.prototype) return undefined;
  const { MessageChannel } = globalThis as { MessageChannel?: new () => { port1: Port; port2: Port } };
  if (MessageChannel === undefined) return undefined;
  const { port1, port2 } = new MessageChannel();
  port1.addEventListener('close', () => {
    nowhereIsClosed = true;
  });
  port2.close();
  return port1;
}

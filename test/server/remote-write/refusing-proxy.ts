/** An HTTP proxy in front of a receiver that answers some requests itself; it reads them with a decoder of its own. */
import { once } from 'node:events';
import { createServer, type IncomingHttpHeaders } from 'node:http';
import type { AddressInfo } from 'node:net';
import { uncompress } from 'snappy';

export interface WrittenSample {
  readonly labels: Readonly<Record<string, string>>;
  readonly time: number;
  readonly value: number;
  readonly bits: bigint;
}

export interface Refusal {
  readonly status: number;
  readonly body?: string;
  readonly headers?: Readonly<Record<string, string>>;
  /** The receiver gets the request all the same, and its answer is lost. */
  readonly afterwards?: boolean;
}

export interface RefusingProxy {
  readonly url: string;
  /** Headers of all requests so far. */
  readonly requests: readonly IncomingHttpHeaders[];
  /** Samples that the receiver took, each as often as it was sent. */
  readonly taken: readonly WrittenSample[];
  close(): Promise<void>;
}

/** `judge` gives an answer instead of the receiver's, or undefined to pass the request on. */
export async function startRefusingProxy(
  target: string,
  judge: (samples: readonly WrittenSample[]) => Refusal | undefined,
): Promise<RefusingProxy> {
  const requests: IncomingHttpHeaders[] = [];
  const taken: WrittenSample[] = [];
  const server = createServer(async (request, response) => {
    requests.push(request.headers);
    const chunks: Buffer[] = [];
    for await (const chunk of request) chunks.push(chunk as Buffer);
    const body = Buffer.concat(chunks);
    const samples = decode((await uncompress(body)) as Buffer);
    const refusal = judge(samples);
    if (refusal !== undefined && !refusal.afterwards) {
      response.writeHead(refusal.status, refusal.headers).end(refusal.body ?? '');
      return;
    }
    const answer = await fetch(target, {
      method: 'POST',
      headers: { 'Content-Encoding': 'snappy', 'Content-Type': 'application/x-protobuf' },
      body: new Uint8Array(body),
    }).catch(() => undefined);
    if (answer?.ok) taken.push(...samples);
    response.writeHead(refusal?.status ?? answer?.status ?? 502).end(await answer?.text());
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}/api/v1/write`,
    requests,
    taken,
    async close() {
      server.closeAllConnections();
      server.close();
      await once(server, 'close');
    },
  };
}

/** The samples of a WriteRequest. */
export function decode(request: Buffer): WrittenSample[] {
  return fields(request).flatMap(({ bytes: series }) => {
    const labels: Record<string, string> = {};
    const samples: Buffer[] = [];
    for (const { number, bytes } of fields(series)) {
      if (number === 2) samples.push(bytes);
      else {
        const [name, value] = fields(bytes);
        labels[String(name?.bytes)] = String(value?.bytes);
      }
    }
    return samples.map((sample) => {
      const [value, time] = fields(sample);
      return {
        labels,
        value: value?.bytes.readDoubleLE() ?? 0,
        bits: value?.bytes.readBigUInt64LE() ?? 0n,
        time: time?.varint ?? 0,
      };
    });
  });
}

interface Field {
  readonly number: number;
  readonly bytes: Buffer;
  readonly varint: number;
}

function fields(message: Buffer): Field[] {
  const found: Field[] = [];
  let at = 0;
  const varint = (): number => {
    let value = 0n;
    for (let shift = 0n; ; shift += 7n) {
      const byte = message.readUInt8(at++);
      value |= BigInt(byte & 0x7f) << shift;
      if (byte < 0x80) return Number(value);
    }
  };
  while (at < message.length) {
    const tag = varint();
    const type = tag & 7;
    if (type === 0) found.push({ number: tag >> 3, bytes: Buffer.alloc(0), varint: varint() });
    else {
      const length = type === 1 ? 8 : varint();
      if (type !== 1 && type !== 2) throw new Error(`a field of wire type ${type}`);
      found.push({ number: tag >> 3, bytes: message.subarray(at, at + length), varint: 0 });
      at += length;
    }
  }
  if (at !== message.length) throw new Error('a field reaches beyond its message');
  return found;
}

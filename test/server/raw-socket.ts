/** A websocket client of bytes alone: it says whatever it is given, and tells what came back. */
import { connect } from 'node:net';

export interface Visit {
  /** The upgrade request and all that follows it. */
  readonly bytes: Buffer;
  /** Pings in it, numbered from 0 on: an answer tells that everything before it was read and taken. */
  readonly markers: number;
  /** `half-close`: nothing comes after, for bytes that leave the server waiting for more. */
  readonly ending: 'wait' | 'half-close';
}

export interface Answer {
  /** Status of the answer to the upgrade; undefined for none. */
  readonly status: number | undefined;
  /** Markers that were answered. */
  readonly markers: number;
  readonly welcomed: boolean;
  readonly close: { readonly code: number; readonly reason: string } | undefined;
}

export const upgradeRequest: Buffer = Buffer.from(
  'GET /v1/ingest HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n' +
    'Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n',
);

/** How long a server may say nothing before a test fails: it would have to be stuck. */
const patienceMilliseconds = 30_000;

export function visit(port: number, { bytes, markers, ending }: Visit): Promise<Answer> {
  return new Promise((resolve, reject) => {
    const socket = connect(port, '127.0.0.1');
    let received: Buffer = Buffer.alloc(0);
    let status: number | undefined;
    let answered = 0;
    let welcomed = false;
    let close: Answer['close'];
    const done = (): void => {
      clearTimeout(timer);
      // A reset leaves no port waiting: there are more visits than ports.
      socket.resetAndDestroy();
      resolve({ status, markers: answered, welcomed, close });
    };
    const timer = setTimeout(() => {
      socket.resetAndDestroy();
      reject(new Error(`no answer within ${patienceMilliseconds} ms to ${bytes.toString('latin1').slice(0, 2000)}`));
    }, patienceMilliseconds);
    socket.on('error', () => {}); // A reset: 'close' follows.
    socket.on('close', done);
    socket.on('connect', () => {
      if (ending === 'half-close') socket.end(bytes);
      else socket.write(bytes);
    });
    socket.on('data', (data: Buffer) => {
      received = received.length === 0 ? data : Buffer.concat([received, data]);
      if (status === undefined) {
        const end = received.indexOf('\r\n\r\n');
        if (end < 0) return;
        status = Number(received.toString('latin1', 9, 12));
        received = received.subarray(end + 4);
        if (status !== 101) return done();
      }
      for (let frame = takeFrame(received); frame !== undefined; frame = takeFrame(received)) {
        received = received.subarray(frame.bytes);
        if (frame.opcode === 1 && frame.payload.includes('"welcome"')) welcomed = true;
        if (frame.opcode === 10 && frame.payload.subarray(0, 6).equals(markerName))
          answered = frame.payload.readUInt32BE(6) + 1;
        if (frame.opcode === 8) {
          const code = frame.payload.length >= 2 ? frame.payload.readUInt16BE() : 1005;
          close = { code, reason: frame.payload.toString('utf8', 2) };
          return done();
        }
      }
      if (ending === 'wait' && answered === markers && welcomed) done();
    });
  });
}

/** A whole frame of the server's, unmasked. */
function takeFrame(data: Buffer): { opcode: number; payload: Buffer; bytes: number } | undefined {
  if (data.length < 2) return undefined;
  const short = data.readUInt8(1) & 127;
  const start = short === 126 ? 4 : short === 127 ? 10 : 2;
  if (data.length < start) return undefined;
  const length = short === 126 ? data.readUInt16BE(2) : short === 127 ? Number(data.readBigUInt64BE(2)) : short;
  if (data.length < start + length) return undefined;
  return { opcode: data.readUInt8(0) & 15, payload: data.subarray(start, start + length), bytes: start + length };
}

export interface FrameHead {
  /** FIN, three reserved bits, opcode. */
  readonly first: number;
  readonly masked: 'masked' | 'unmasked';
  /** Said to be so long, whatever it is; in so many bytes. */
  readonly length?: bigint | undefined;
  readonly lengthBytes?: 0 | 2 | 8 | undefined;
}

/** A websocket frame of a client's, rightly or wrongly. */
export function websocketFrame(payload: Uint8Array, { first, masked, length, lengthBytes }: FrameHead): Buffer {
  const said = length ?? BigInt(payload.length);
  const size = lengthBytes ?? (said < 126n ? 0 : said < 65_536n ? 2 : 8);
  const head = Buffer.alloc(2 + size + (masked === 'masked' ? 4 : 0));
  head.writeUInt8(first & 255, 0);
  const short = size === 0 ? Number(said & 127n) : size === 2 ? 126 : 127;
  head.writeUInt8(short | (masked === 'masked' ? 128 : 0), 1);
  if (size === 2) head.writeUInt16BE(Number(said & 0xffffn), 2);
  if (size === 8) head.writeBigUInt64BE(BigInt.asUintN(64, said), 2);
  // A mask of zeros: the payload as it is.
  return Buffer.concat([head, payload]);
}

export const textFrame = (payload: Uint8Array | string): Buffer =>
  websocketFrame(Buffer.from(payload as string), { first: 0x81, masked: 'masked' });
export const binaryFrame = (payload: Uint8Array): Buffer => websocketFrame(payload, { first: 0x82, masked: 'masked' });

const markerName = Buffer.from('marker');

/** A ping with a number; the answer repeats it. */
export function marker(index: number): Buffer {
  const payload = Buffer.alloc(10);
  payload.set(markerName);
  payload.writeUInt32BE(index, 6);
  return websocketFrame(payload, { first: 0x89, masked: 'masked' });
}

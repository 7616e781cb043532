/**
 * Messages of a trainer with something wrong in them, each a function of a seed and a number, so that a run can be repeated.
 * Most are one step away from a right one: that is where readers are weakest.
 */
import { seededRandom } from '../../cli/demo/batches.ts';
import { encodeFrame } from '../../src/frame.ts';
import { binaryFrame, textFrame, upgradeRequest, websocketFrame } from './raw-socket.ts';
import { frameOf, helloOf, site } from './trainer.ts';

export interface Mutation {
  /** What was done, for the message of a failure. */
  readonly kind: string;
  readonly bytes: Buffer;
  /**
   * `message`: whole frames, after a right hello. `last`: may leave the server waiting for more, so nothing can follow.
   * `first`: instead of the hello. `upgrade`: instead of the upgrade request.
   */
  readonly place: 'message' | 'last' | 'first' | 'upgrade';
}

type Random = () => number;

const pick = <Item>(random: Random, items: readonly Item[]): Item => items[Math.floor(random() * items.length)] as Item;
const below = (random: Random, limit: number): number => Math.floor(random() * limit);

/** The right hello of a connection. */
export const helloBytes = (runId: string): Buffer => textFrame(JSON.stringify(helloOf(runId)));

/** The mutation of that number. */
export function mutationOf(seed: number, number: number, runId: string): Mutation {
  const random = seededRandom(Math.imul(seed ^ Math.imul(number, 0x9e3779b1), 0x85ebca6b));
  random(); // The first number of neighbouring seeds is alike.
  const share = random();
  if (share < 0.4) return ofText(random, number, runId);
  if (share < 0.75) return ofFrame(random, number);
  if (share < 0.97) return ofWebsocket(random, number);
  return ofUpgrade(random);
}

// Text messages

/** Values that a field may not expect. */
const strange: readonly unknown[] = [
  ...[null, true, 0, -1, 0.5, 2 ** 53, 1e308, '', ' ', '\u0000', '\ud800', 'x'.repeat(257), [], {}, [[]], [null], '1'],
  ...[{ length: 1e9 }, { toJSON: 1 }, ['a', 'a'], 'hello', 'NaN', 4294967296, -0],
];

function ofText(random: Random, number: number, runId: string): Mutation {
  const first = random() < 0.3;
  const message: Record<string, unknown> = first ? { ...helloOf(runId) } : { ...laterMessage(random, number) };
  const place = first ? 'first' : 'message';
  const field = pick(random, Object.keys(message));
  const text = JSON.stringify(message);
  const made = (kind: string, payload: string | Buffer): Mutation => ({
    kind: `${String(message['type'])}: ${kind}`,
    bytes: textFrame(payload),
    place,
  });
  if (random() < 0.01) {
    const large = 'x'.repeat(pick(random, [1000, 100_000, 1_000_000, 1_048_576]));
    const key = random() < 0.3 ? large : field;
    const value = random() < 0.5 ? large : [large];
    return made('large', JSON.stringify({ ...message, [key]: random() < 0.5 ? value : { [large]: [] } }));
  }
  switch (below(random, 12)) {
    case 0: {
      const flipped = Buffer.from(text);
      for (let times = 1 + below(random, 3); times > 0; times--) {
        const at = below(random, flipped.length);
        flipped[at] = (flipped[at] as number) ^ (1 << below(random, 8));
      }
      return made('bits flipped', flipped);
    }
    case 1:
      return made('truncated', text.slice(0, below(random, text.length)));
    case 2:
      return made(`${field} is strange`, JSON.stringify({ ...message, [field]: pick(random, strange) }));
    case 3:
      return made(`${field} is missing`, JSON.stringify({ ...message, [field]: undefined }));
    case 4:
      return made(
        `${field} twice`,
        `${text.slice(0, -1)},${JSON.stringify(field)}:${JSON.stringify(pick(random, strange))}}`,
      );
    case 5:
      return made(
        '__proto__',
        `${text.slice(0, -1)},"__proto__":{"type":"bye","sites":[],"polluted":1},"constructor":{"prototype":{"polluted":1}}}`,
      );
    case 6: {
      const depth = 10 ** (1 + below(random, 4));
      const deep =
        random() < 0.5 ? '['.repeat(depth) + ']'.repeat(depth) : `${'{"a":'.repeat(depth)}1${'}'.repeat(depth)}`;
      return made('deep', random() < 0.5 ? deep : `${text.slice(0, -1)},${JSON.stringify(field)}:${deep}}`);
    }
    case 7:
      return made(
        'another type',
        JSON.stringify({ ...message, type: pick(random, [...strange, 'welcome', 'bye', 'resume']) }),
      );
    case 8: {
      const invalid = Buffer.from(text);
      invalid.set(
        pick(random, [[0xff], [0xc0, 0x80], [0xed, 0xa0, 0x80], [0xf4, 0x90, 0x80, 0x80], [0xe2, 0x82]]),
        below(random, invalid.length - 4),
      );
      return made('no UTF-8', invalid);
    }
    case 9:
      return made('noise', randomBytes(random, below(random, 200)));
    case 10:
      return made(
        'a number of another form',
        text.replace(/\d+/, pick(random, ['1e999', '-1e999', '1e-400', '00', '0x1', '9'.repeat(400), '1.0'])),
      );
    default:
      return made('something unknown in it', JSON.stringify({ ...message, later: pick(random, strange) }));
  }
}

function laterMessage(random: Random, number: number): Record<string, unknown> & { type: string } {
  if (random() < 0.7) return { type: 'declare', sites: [site(`site ${number}`)], scalars: [`scalar ${number}`] };
  if (random() < 0.7) return { type: 'bye', outcome: 'finished', dropped: 0 };
  return { ...helloOf('second-hello') };
}

// Frames

const extremes16 = [0, 1, 3, 40, 48, 255, 65_535, 65_528];
const extremes32 = [0, 1, 3, 4096, 4097, 65_536, 2 ** 31, 2 ** 32 - 1];
const extremes64 = [
  0,
  -0,
  -1,
  0.5,
  2 ** 53,
  2 ** 53 - 1,
  1e308,
  Number.NaN,
  Number.POSITIVE_INFINITY,
  8.64e15,
  -8.65e15,
  5e-324,
];

function ofFrame(random: Random, number: number): Mutation {
  const bytes = Buffer.from(encodeFrame(frameOf(number), 2));
  const made = (kind: string, payload: Uint8Array, place: Mutation['place'] = 'message'): Mutation => ({
    kind: `frame: ${kind}`,
    bytes: binaryFrame(payload),
    place,
  });
  switch (below(random, 9)) {
    case 0:
    case 1: {
      const at = below(random, bytes.length);
      bytes[at] = (bytes[at] as number) ^ (1 << below(random, 8));
      return made(`a bit of byte ${at} flipped`, bytes);
    }
    case 2:
      return made('truncated', bytes.subarray(0, below(random, bytes.length)));
    case 3:
      return made('longer', Buffer.concat([bytes, randomBytes(random, below(random, 300))]));
    case 4: {
      const at = pick(random, [2, 4, 6, 12, 14]);
      bytes.writeUInt16LE(pick(random, extremes16), at);
      return made(`an extreme at ${at}`, bytes);
    }
    case 5:
      bytes.writeUInt32LE(pick(random, extremes32), 8);
      return made('many sites', bytes);
    case 6: {
      const at = pick(random, [16, 24, 32]);
      bytes.writeDoubleLE(pick(random, extremes64), at);
      return made(`an extreme at ${at}`, bytes);
    }
    case 7:
      return made('noise', randomBytes(random, below(random, 300)));
    default:
      return made('before hello', bytes, 'first');
  }
}

// Below the messages

function ofWebsocket(random: Random, number: number): Mutation {
  const text = Buffer.from(JSON.stringify(laterMessage(random, number)));
  const half = below(random, text.length);
  const [head, tail] = [text.subarray(0, half), text.subarray(half)];
  const frame = (first: number, payload: Uint8Array = text): Buffer =>
    websocketFrame(payload, { first, masked: 'masked' });
  const made = (kind: string, bytes: Buffer, place: Mutation['place'] = 'message'): Mutation => ({
    kind: `websocket: ${kind}`,
    bytes,
    place,
  });
  switch (below(random, 15)) {
    case 0:
      return made('unmasked', websocketFrame(text, { first: 0x81, masked: 'unmasked' }), 'last');
    case 1:
      return made('a reserved opcode', frame(0x80 | pick(random, [3, 4, 5, 6, 7, 11, 12, 13, 14, 15])));
    case 2:
      return made('reserved bits', frame(0x81 | pick(random, [0x10, 0x20, 0x40, 0x70])));
    case 3:
      return made(
        'in fragments',
        Buffer.concat([frame(0x01, head), frame(0x89, head.subarray(0, 100)), frame(0x80, tail)]),
      );
    case 4:
      return made('a continuation of nothing', frame(0x80));
    case 5:
      return made('a message within fragments', Buffer.concat([frame(0x01, head), frame(0x81)]));
    case 6:
      return made('fragments without an end', frame(0x01, head), 'last');
    case 7:
      return made('a control frame in fragments', frame(pick(random, [0x08, 0x09, 0x0a]), head.subarray(0, 50)));
    case 8:
      return made(
        'a long control frame',
        frame(pick(random, [0x88, 0x89, 0x8a]), randomBytes(random, 126 + below(random, 200))),
      );
    case 9: {
      const length = pick(random, [
        0n,
        1n,
        BigInt(text.length + 1),
        65_535n,
        2n ** 24n,
        2n ** 24n + 1n,
        2n ** 32n,
        2n ** 63n,
        2n ** 64n - 1n,
      ]);
      return made(`a length of ${length}`, websocketFrame(text, { first: 0x81, masked: 'masked', length }), 'last');
    }
    case 10:
      return made(
        'a length in more bytes than it needs',
        websocketFrame(text, { first: 0x81, masked: 'masked', lengthBytes: 8 }),
      );
    case 11: {
      const payload = randomBytes(random, below(random, 130));
      if (payload.length >= 2)
        payload.writeUInt16BE(pick(random, [0, 999, 1000, 1004, 1005, 1006, 1015, 2999, 3000, 4400, 5000, 65_535]));
      return made('a close', frame(0x88, payload), 'last');
    }
    case 12:
      return made('noise', randomBytes(random, 1 + below(random, 300)), 'last');
    case 13:
      return made('empty messages', Buffer.concat([frame(0x81, Buffer.alloc(0)), frame(0x82, Buffer.alloc(0))]));
    default:
      return made('cut off', frame(0x82, encodeFrame(frameOf(number), 2)).subarray(0, 1 + below(random, 100)), 'last');
  }
}

function ofUpgrade(random: Random): Mutation {
  const text = upgradeRequest.toString();
  const made = (kind: string, request: Buffer | string): Mutation => ({
    kind: `upgrade: ${kind}`,
    bytes: Buffer.from(request as string),
    place: 'upgrade',
  });
  switch (below(random, 6)) {
    case 0: {
      const flipped = Buffer.from(text);
      const at = below(random, flipped.length);
      flipped[at] = (flipped[at] as number) ^ (1 << below(random, 8));
      return made(`a bit of byte ${at} flipped`, flipped);
    }
    case 1:
      return made('truncated', text.slice(0, below(random, text.length)));
    case 2:
      return made('another version', text.replace('Version: 13', `Version: ${pick(random, ['8', '14', '', '-1'])}`));
    case 3:
      return made(
        'another path',
        text.replace(
          '/v1/ingest',
          pick(random, ['/', '//', '/v1/ingest/../x', '*', `/${'a'.repeat(9000)}`, '/%00', 'http://[', '/v2/ingest']),
        ),
      );
    case 4:
      return made(
        'another host',
        text.replace(
          'Host: 127.0.0.1',
          pick(random, ['Host: example.com', 'Host:', 'X: y', 'Host: [', 'Origin: null\r\nHost: localhost']),
        ),
      );
    default:
      return made('noise', randomBytes(random, 1 + below(random, 300)));
  }
}

function randomBytes(random: Random, length: number): Buffer {
  return Buffer.from(Array.from({ length }, () => below(random, 256)));
}

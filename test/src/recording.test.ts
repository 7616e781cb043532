/** Recordings: what was written comes back, and what a crash or a disk did to a file costs only the records that it touched. */
import { describe, expect, test } from 'vitest';
import { crc32 } from '../../src/crc32.ts';
import { encodeFrame } from '../../src/frame.ts';
import { limits } from '../../src/messages.ts';
import { messagePayload, parseRecord, type RawRecord, RecordReader, recordHeader } from '../../src/recording.ts';
import { frameOf, helloOf } from '../server/trainer.ts';

const { token: _, ...hello } = helloOf('run-1');
const record = (kind: Parameters<typeof recordHeader>[0], payload: Uint8Array<ArrayBuffer>): Uint8Array =>
  Buffer.concat([recordHeader(kind, payload), payload]);
const records = [
  record('hello', messagePayload({ kind: 'hello', hello })),
  ...[0, 1, 2].map((sequence) => record('frame', encodeFrame(frameOf(sequence), 2))),
  record('bye', messagePayload({ kind: 'bye', bye: { type: 'bye', outcome: 'finished', dropped: 0 } })),
];
const file = Buffer.concat(records);

function read(bytes: Uint8Array, pieceBytes = bytes.length): { kinds: number[]; skipped: number; all: RawRecord[] } {
  const reader = new RecordReader();
  const all: RawRecord[] = [];
  for (let at = 0; at < bytes.length; at += pieceBytes) all.push(...reader.push(bytes.subarray(at, at + pieceBytes)));
  all.push(...reader.end());
  return { kinds: all.map(({ kind }) => kind), skipped: reader.skippedBytes, all };
}

test('CRC-32 is the usual one, whole or in parts', () => {
  const check = new TextEncoder().encode('123456789');
  expect(crc32(check)).toBe(0xcbf4_3926); // the check value of CRC-32/ISO-HDLC
  expect(crc32(check.subarray(4), crc32(check.subarray(0, 4)))).toBe(0xcbf4_3926);
});

describe('a recording', () => {
  test('has these bytes', () => {
    const bye = record('bye', messagePayload({ kind: 'bye', bye: { type: 'bye', outcome: 'failed', dropped: 2 } }));
    const json = Buffer.from('{"type":"bye","outcome":"failed","dropped":2}');
    expect(Buffer.from(bye).toString('hex')).toBe(
      ['4f4c5231' + '2d000000' + 'GCRC' + '04000000', json.toString('hex')].join('').replace('GCRC', crcOf(4, json)),
    );
  });

  test.each([file.length, 1, 7, 100])('comes back in pieces of %d bytes', (pieceBytes) => {
    const { kinds, skipped, all } = read(file, pieceBytes);
    expect(kinds).toEqual([1, 3, 3, 3, 4]);
    expect(skipped).toBe(0);
    expect(parseRecord(all[0] as RawRecord)).toEqual({ kind: 'hello', hello });
    for (const { payload, offset } of all)
      expect([...file.subarray(offset, offset + payload.length)]).toEqual([...payload]);
  });

  test('does not hold the token', () => {
    const payload = messagePayload({ kind: 'hello', hello: { ...hello, token: 'secret' } });
    expect(new TextDecoder().decode(payload)).not.toContain('secret');
  });

  test('that was cut off anywhere gives every record before the cut, and counts the rest', () => {
    const ends = records.map((_each, index) => Buffer.concat(records.slice(0, index + 1)).length);
    for (let length = 0; length < file.length; length++) {
      const { kinds, skipped } = read(file.subarray(0, length));
      const whole = ends.filter((end) => end <= length);
      expect(kinds.length).toBe(whole.length);
      expect(skipped).toBe(length - (whole.at(-1) ?? 0));
    }
  });

  test('with one wrong byte anywhere loses one record', () => {
    for (let at = 0; at < file.length; at++) {
      const spoiled = Buffer.from(file);
      spoiled[at] = (spoiled[at] as number) ^ 0x10;
      const { kinds, skipped } = read(spoiled);
      expect(kinds.length).toBe(records.length - 1);
      expect(skipped).toBeGreaterThan(0);
    }
  });

  test('with foreign bytes between records gives them all', () => {
    const { kinds, skipped } = read(Buffer.concat(records.flatMap((each) => [Buffer.from('OLR1 OOL'), each])));
    expect(kinds).toEqual([1, 3, 3, 3, 4]);
    expect(skipped).toBe(8 * records.length);
  });

  test('made of false beginnings is given up, not chewed for ever', () => {
    const hostile = Buffer.alloc(4 * limits.frameBytes);
    for (let at = 0; at < hostile.length; at += 16) {
      hostile.writeUInt32LE(0x3152_4c4f, at);
      hostile.writeUInt32LE(limits.frameBytes, at + 4);
    }
    expect(() => read(hostile)).toThrow(/damaged beyond use/);
  });

  test.each<[string, number, string]>([
    ['a message of another kind', 2, '{"type":"bye","outcome":"failed"}'],
    ['no JSON', 1, 'hello'],
    ['a base that is none', 5, '{"base":-1}'],
  ])('with %s says so', (_what, kind, text) => {
    expect(() => parseRecord({ kind, payload: new TextEncoder().encode(text), offset: 0 })).toThrow();
  });

  test('may hold kinds of later versions', () => {
    expect(parseRecord({ kind: 77, payload: new Uint8Array(3), offset: 0 })).toBeUndefined();
  });
});

function crcOf(kind: number, payload: Uint8Array): string {
  const bytes = Buffer.alloc(4);
  bytes.writeUInt32LE(crc32(Buffer.concat([Buffer.from([kind, 0, 0, 0]), payload])));
  return bytes.toString('hex');
}

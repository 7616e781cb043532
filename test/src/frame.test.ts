/** The frame codec: a round trip keeps every bit, and bytes that are no frame are refused by what is wrong with them. */
import { describe, expect, test } from 'vitest';
import {
  absentScalars,
  absentValues,
  columnOf,
  decodeFrame,
  encodeFrame,
  type Frame,
  frameBytes,
  isMeasured,
  noNeuron,
} from '../../src/frame.ts';

function example(): Frame {
  const values = absentValues(6); // 2 sites x 3 metrics
  values.set([1.5, Number.NaN, Number.POSITIVE_INFINITY], 0);
  const scalars = absentScalars(3);
  scalars.set([2.25, Number.NaN], 0);
  return {
    sequence: 7,
    step: 70,
    time: 1_700_000_000_123.5,
    scalars,
    values,
    topNeurons: { count: 1, indices: Uint32Array.of(3, noNeuron), shares: Float32Array.of(0.5, 0) },
  };
}

describe('a frame', () => {
  test('has these bytes', () => {
    const hex = Buffer.from(encodeFrame(example(), 3)).toString('hex');
    expect(hex).toBe(
      [
        '01' + '01' + '2800' + '0300' + '0300' + '02000000' + '0100' + '0000', // kind, version, header, C, M, S, K, reserved
        '0000000000001c40' + '0000000000805140' + '00b88756febc7842', // sequence 7, step 70, time
        '0000000000000240' + '000000000000f87f' + 'be0a00000000f87f', // 2.25, NaN, absent
        `0000c03f0000c07f0000807f${'be0ac07f'.repeat(3)}`, // 1.5, NaN, Infinity, absent
        '03000000' + 'ffffffff' + '0000003f' + '00000000', // neurons, shares
      ].join(''),
    );
  });

  test('comes back as it was, what is absent still absent', () => {
    const { frame, shape } = decodeFrame(encodeFrame(example(), 3));
    expect(shape).toEqual({ sites: 2, metrics: 3, scalars: 3, topNeurons: 1 });
    expect(frame).toEqual(example());
    expect([0, 1, 2, 3, 4, 5, 6].map((index) => isMeasured(frame.values, index))).toEqual([
      true,
      true,
      true,
      false,
      false,
      false,
      false,
    ]);
    expect([0, 1, 2, 3].map((index) => isMeasured(frame.scalars, index))).toEqual([true, true, false, false]);
    const infinities = columnOf(frame.values, 2, 3);
    expect([infinities[0], isMeasured(infinities, 0), isMeasured(infinities, 1)]).toEqual([
      Number.POSITIVE_INFINITY,
      true,
      false,
    ]);
  });

  test('may list neurons without a metric', () => {
    const frame: Frame = { ...example(), values: absentValues(0) };
    const decoded = decodeFrame(encodeFrame(frame, 0));
    expect(decoded.shape).toEqual({ sites: 2, metrics: 0, scalars: 3, topNeurons: 1 });
    expect(decoded.frame).toEqual(frame);
  });

  test('is read from anywhere in a larger buffer, and with fields that this version does not know', () => {
    const bytes = encodeFrame(example(), 3);
    const longer = new Uint8Array(5 + bytes.length + 8 + 3);
    longer.set(bytes.subarray(0, 40), 5);
    longer.set(bytes.subarray(40), 5 + 48); // eight more bytes of header, three after the end
    new DataView(longer.buffer).setUint16(5 + 2, 48, true);
    expect(decodeFrame(longer.subarray(5)).frame).toEqual(example());
    expect(decodeFrame(Buffer.from(bytes)).frame).toEqual(example());
  });

  test.each<[string, (view: DataView) => void, RegExp]>([
    ['another kind', (view) => view.setUint8(0, 9), /its kind is 9, known is 1/],
    ['another version', (view) => view.setUint8(1, 2), /its version is 2, known is 1/],
    ['a header length that is none', (view) => view.setUint16(2, 12, true), /its header length is 12/],
    [
      'more sites than bytes',
      (view) => view.setUint32(8, 4_000_000_000, true),
      /bytes are fewer than the \d+ that its header asks for/,
    ],
    ['a sequence that is no whole number', (view) => view.setFloat64(16, 1.5, true), /its sequence is 1\.5/],
    ['a negative step', (view) => view.setFloat64(24, -1, true), /its step is -1/],
    ['a time that is NaN', (view) => view.setFloat64(32, Number.NaN, true), /its time is NaN/],
  ])('is refused with %s', (_, spoil, message) => {
    const bytes = encodeFrame(example(), 3);
    spoil(new DataView(bytes.buffer));
    expect(() => decodeFrame(bytes)).toThrow(message);
  });

  test('is refused at every length that is too short', () => {
    const bytes = encodeFrame(example(), 3);
    expect(bytes.length).toBe(frameBytes({ sites: 2, metrics: 3, scalars: 3, topNeurons: 1 }));
    for (let length = 0; length < bytes.length; length++) {
      expect(() => decodeFrame(bytes.subarray(0, length))).toThrow(/malformed frame/);
    }
  });
});

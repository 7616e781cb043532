import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { longestNumber, writeNumber } from '../../../server/exposition/numbers.ts';

const bytes = Buffer.alloc(2 * longestNumber, '!');

function textOf(value: number): string {
  const end = writeNumber(bytes, 3, value);
  expect(end - 3).toBeLessThanOrEqual(longestNumber);
  return bytes.toString('latin1', 3, end);
}

/** A number of either format. */
const grammar = /^(NaN|[+-]Inf|-?\d+(\.\d+)?(e[+-]?\d+)?)$/;

function expectRoundTrip(value: number): void {
  const text = textOf(value);
  expect(text).toMatch(grammar);
  if (Number.isFinite(value)) expect(Object.is(Number(text), value), `${value} as ${text}`).toBe(true);
}

describe('numbers', () => {
  test.each([
    [0, '0'],
    [-0, '-0'],
    [1, '1'],
    [-9, '-9'],
    [10, '10'],
    [99_999_999, '99999999'],
    [2 ** 53 - 1, '9007199254740991'],
    [0.5, '0.5'],
    [-1.25, '-1.25'],
    [100.0625, '100.0625'],
    [2 ** -19, '0.0000019073486328125'],
    [16_777_215, '16777215'],
    [8_388_607.5, '8388607.5'],
    [Math.fround(3.4e38), '3.3999999521443642e+38'],
    [1_700_000_100.25, '1700000100.25'],
    [1e-45, '1e-45'],
    [Number.NaN, 'NaN'],
    [Infinity, '+Inf'],
    [-Infinity, '-Inf'],
  ])('%d is %s', (value, text) => {
    expect(textOf(value)).toBe(text);
  });

  const float32 = fc.integer({ min: 0, max: 2 ** 32 - 1 }).map((bits) => {
    const view = new DataView(new ArrayBuffer(4));
    view.setUint32(0, bits);
    return view.getFloat32(0);
  });

  test('any float32 reads back as the same double', () => {
    fc.assert(fc.property(float32, expectRoundTrip), { numRuns: 50_000 });
  });

  test('so do those of usual sizes, and those beside powers of two and ten', () => {
    const usual = fc.float({ min: Math.fround(1e-7), max: 2 ** 25, noNaN: true });
    fc.assert(fc.property(usual, expectRoundTrip), { numRuns: 50_000 });
    for (let power = -30; power < 30; power++) {
      for (const near of [2 ** power, 10 ** power]) {
        const bits = new Uint32Array(Float32Array.of(near).buffer)[0] as number;
        for (let step = -3; step <= 3; step++)
          expectRoundTrip(new Float32Array(Uint32Array.of(bits + step).buffer)[0] as number);
      }
    }
  });

  test('any double does', () => {
    fc.assert(fc.property(fc.double(), expectRoundTrip), { numRuns: 20_000 });
    fc.assert(fc.property(fc.maxSafeInteger(), expectRoundTrip), { numRuns: 20_000 });
  });

  test('no more than 18 digits are written of one, which is one more than a double may need', () => {
    const usual = fc.float({ min: Math.fround(2e-6), max: 2 ** 23, noNaN: true });
    fc.assert(
      fc.property(usual, (value) => {
        expect(textOf(value).replace('.', '').replace(/^0+/, '').length).toBeLessThanOrEqual(18);
      }),
      { numRuns: 20_000 },
    );
  });
});

/** Properties of the codec and of the messages, on generated inputs. A failure prints its seed and the smallest input that fails. */
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { OutlierscopeError } from '../../src/errors.ts';
import { decodeFrame, encodeFrame, type Frame, type FrameShape, frameBytes, isMeasured } from '../../src/frame.ts';
import {
  limits,
  parseServerMessage,
  parseTrainerMessage,
  type ServerMessage,
  siteKinds,
  type TrainerMessage,
} from '../../src/messages.ts';

const wholeNumber = fc.oneof(fc.maxSafeNat(), fc.constantFrom(0, 1, 2 ** 31, 2 ** 32, Number.MAX_SAFE_INTEGER));
const moment = fc.oneof(fc.double({ min: -8.64e15, max: 8.64e15, noNaN: true }), fc.constantFrom(0, 8.64e15, -8.64e15));

/** Any 32 bits: every NaN, the absent one too, infinities, subnormal numbers. */
const float32Bits = fc.oneof(
  fc.integer({ min: 0, max: 0xffffffff }),
  fc.constantFrom(0x7fc00abe, 0x7fc00000, 0xffc00000, 0x7f800001, 0x7f800000, 0xff800000, 0x80000000, 1),
);
const float64Bits = fc.oneof(
  fc.bigInt({ min: 0n, max: 2n ** 64n - 1n }),
  fc.constantFrom(0x7ff8000000000aben, 0x7ff8000000000000n, 0xfff0000000000000n, 0x7ff0000000000001n, 1n),
);

const shapes: fc.Arbitrary<FrameShape> = fc
  .record({
    sites: fc.nat(7),
    metrics: fc.nat(5),
    scalars: fc.nat(5),
    topNeurons: fc.nat(4),
  })
  // What has neither metrics nor neurons says nothing of sites.
  .map((shape) => (shape.metrics + shape.topNeurons === 0 ? { ...shape, sites: 0 } : shape));

const frames: fc.Arbitrary<{ frame: Frame; shape: FrameShape }> = shapes.chain((shape) => {
  const { sites, metrics, scalars, topNeurons } = shape;
  const words = (length: number) => fc.array(float32Bits, { minLength: length, maxLength: length });
  return fc
    .record({
      sequence: wholeNumber,
      step: wholeNumber,
      time: moment,
      scalars: fc.array(float64Bits, { minLength: scalars, maxLength: scalars }),
      values: words(sites * metrics),
      indices: words(sites * topNeurons),
      shares: words(sites * topNeurons),
    })
    .map((parts) => ({
      shape,
      frame: {
        sequence: parts.sequence,
        step: parts.step,
        time: parts.time,
        scalars: new Float64Array(BigUint64Array.from(parts.scalars).buffer),
        values: new Float32Array(Uint32Array.from(parts.values).buffer),
        topNeurons: {
          count: topNeurons,
          indices: Uint32Array.from(parts.indices),
          shares: new Float32Array(Uint32Array.from(parts.shares).buffer),
        },
      },
    }));
});

const bitsOf = ({ scalars, values, topNeurons: { indices, shares } }: Frame): string[] =>
  [scalars, values, indices, shares].map((array) =>
    Buffer.from(array.buffer, array.byteOffset, array.byteLength).toString('hex'),
  );

/** What the action throws; anything but an error of that code fails. */
function refusal(code: string, action: () => unknown): OutlierscopeError | undefined {
  try {
    action();
    return undefined;
  } catch (error) {
    expect(error).toBeInstanceOf(OutlierscopeError);
    expect((error as OutlierscopeError).code).toBe(code);
    return error as OutlierscopeError;
  }
}

describe('a frame', () => {
  test('comes back from its bytes with every bit', () => {
    fc.assert(
      fc.property(frames, ({ frame, shape }) => {
        const bytes = encodeFrame(frame, shape.metrics);
        expect(bytes.length).toBe(frameBytes(shape));
        const decoded = decodeFrame(bytes);
        expect(decoded.shape).toEqual(shape);
        expect([decoded.frame.sequence, decoded.frame.step]).toEqual([frame.sequence, frame.step]);
        expect(Object.is(decoded.frame.time, frame.time)).toBe(true);
        expect(bitsOf(decoded.frame)).toEqual(bitsOf(frame));
        expect(Buffer.from(encodeFrame(decoded.frame, shape.metrics)).equals(bytes)).toBe(true);
      }),
      { numRuns: 2000 },
    );
  });

  test('has measured whatever is not the one NaN for it', () => {
    fc.assert(
      fc.property(frames, ({ frame, shape }) => {
        const { values, scalars } = decodeFrame(encodeFrame(frame, shape.metrics)).frame;
        for (const [index, bits] of new Uint32Array(values.buffer, values.byteOffset, values.length).entries())
          expect(isMeasured(values, index)).toBe(bits !== 0x7fc00abe);
        for (const [index, bits] of new BigUint64Array(scalars.buffer, scalars.byteOffset, scalars.length).entries())
          expect(isMeasured(scalars, index)).toBe(bits !== 0x7ff8000000000aben);
      }),
    );
  });

  test('is refused by name or read within its bytes, whatever they are', () => {
    const spoiled = fc
      .tuple(frames, fc.array(fc.tuple(fc.nat(63), fc.nat(255)), { maxLength: 4 }), fc.nat(200), fc.boolean())
      .map(([{ frame, shape }, edits, length, cut]) => {
        const bytes = encodeFrame(frame, shape.metrics);
        for (const [offset, byte] of edits) if (offset < bytes.length) bytes[offset] = byte;
        return cut ? bytes.subarray(0, length) : bytes;
      });
    fc.assert(
      fc.property(fc.oneof(spoiled, fc.uint8Array({ maxLength: 200 })), (bytes) => {
        if (refusal('malformed-frame', () => decodeFrame(bytes)) !== undefined) return;
        const { frame, shape } = decodeFrame(bytes);
        expect(frameBytes(shape)).toBeLessThanOrEqual(bytes.length);
        expect(frame.values.length).toBe(shape.sites * shape.metrics);
      }),
      { numRuns: 5000 },
    );
  });
});

const name = fc.string({ minLength: 1, maxLength: 12, unit: 'grapheme' });
// zod, as JavaScript itself, has no plain property of that name.
const key = name.filter((each) => each !== '__proto__');
const site = fc.record({
  name,
  kind: fc.constantFrom(...siteKinds),
  path: fc.string({ maxLength: 40 }),
  width: fc.integer({ min: 1, max: 2 ** 31 }),
});
const finite = fc.double({ noNaN: true, noDefaultInfinity: true }).map((number) => number + 0 || 0); // JSON has no -0
const primitive = fc.oneof(fc.string(), finite, fc.boolean(), fc.constant(null));

const trainerMessages: fc.Arbitrary<TrainerMessage> = fc.oneof(
  fc.record(
    {
      type: fc.constant('hello' as const),
      protocol: fc.integer(),
      runId: fc.stringMatching(/^[A-Za-z0-9][A-Za-z0-9._-]{0,20}$/),
      runName: name,
      catalogue: fc.integer(),
      startedAt: finite,
      sites: fc.array(site, { maxLength: 5 }),
      metrics: fc.uniqueArray(name, { maxLength: 5 }),
      scalars: fc.uniqueArray(name, { maxLength: 5 }),
      topNeurons: fc.nat(64),
      tags: fc.dictionary(key, fc.string({ maxLength: 20 })),
      config: fc.dictionary(key, primitive),
      token: fc.string(),
    },
    {
      requiredKeys: [
        'type',
        'protocol',
        'runId',
        'runName',
        'catalogue',
        'startedAt',
        'sites',
        'metrics',
        'scalars',
        'topNeurons',
        'tags',
        'config',
      ],
    },
  ),
  fc.record({
    type: fc.constant('declare' as const),
    sites: fc.array(site, { maxLength: 5 }),
    scalars: fc.uniqueArray(name, { maxLength: 5 }),
  }),
  fc.record({
    type: fc.constant('bye' as const),
    outcome: fc.constantFrom('finished' as const, 'failed' as const),
    dropped: fc.maxSafeNat(),
  }),
);

const serverMessages: fc.Arbitrary<ServerMessage> = fc.oneof(
  fc.record({ type: fc.constant('acknowledge' as const), lastSequence: fc.oneof(fc.maxSafeNat(), fc.constant(-1)) }),
  fc.record({
    type: fc.constant('welcome' as const),
    protocol: fc.integer(),
    lastSequence: fc.oneof(fc.maxSafeNat(), fc.constant(-1)),
    serverTime: finite,
    limits: fc.record({ frameBytes: finite }),
  }),
);

describe('a message', () => {
  test('comes back from its text', () => {
    fc.assert(
      fc.property(trainerMessages, (message) => {
        expect(parseTrainerMessage(JSON.stringify(message))).toEqual(message);
      }),
    );
    fc.assert(
      fc.property(serverMessages, (message) => {
        expect(parseServerMessage(JSON.stringify(message))).toEqual(message);
      }),
    );
  });

  test('means the same with fields that this version does not know', () => {
    fc.assert(
      fc.property(trainerMessages, fc.dictionary(key, fc.jsonValue()), (message, unknown) => {
        expect(parseTrainerMessage(JSON.stringify({ ...unknown, ...message }))).toMatchObject(message);
      }),
    );
  });

  test('is refused by name, whatever it is', () => {
    const spoiled = fc.tuple(
      trainerMessages,
      fc.nat(),
      fc.constantFrom('type', 'sites', 'tags', 'dropped', 'runId', '__proto__'),
      fc.jsonValue(),
    );
    fc.assert(
      fc.property(spoiled, ([message, length, field, value]) => {
        const text = JSON.stringify(message);
        refusal('malformed-message', () => parseTrainerMessage(text.slice(0, length % text.length)));
        refusal('malformed-message', () =>
          parseTrainerMessage(`${text.slice(0, -1)},"${field}":${JSON.stringify(value)}}`),
        );
      }),
    );
    fc.assert(
      fc.property(fc.oneof(fc.json({ maxDepth: 8 }), fc.string()), (text) => {
        refusal('malformed-message', () => parseTrainerMessage(text));
      }),
    );
    expect(({} as Record<string, unknown>)['polluted']).toBeUndefined();
  });

  test('is refused beyond the limits of the protocol', () => {
    const declare = (sites: number) => ({
      type: 'declare',
      sites: Array.from({ length: sites }, (_, index) => ({ name: `s${index}`, kind: 'mlp', path: '', width: 1 })),
    });
    expect(parseTrainerMessage(JSON.stringify(declare(limits.sites)))).toMatchObject({ scalars: [] });
    expect(
      refusal('malformed-message', () => parseTrainerMessage(JSON.stringify(declare(limits.sites + 1)))),
    ).toBeDefined();
  });
});

/**
 * The frame: all that was measured at one sampled step, and its binary form. Runs in Node and browsers.
 *
 * Layout, little-endian (docs/protocol.md):
 *
 *     0 u8  kind = 1          8 u32 sites S          16 f64 sequence
 *     1 u8  version = 1      12 u16 top neurons K    24 f64 step
 *     2 u16 header bytes     14 u16 reserved = 0     32 f64 time, ms since 1970
 *     4 u16 scalars C
 *     6 u16 metrics M
 *     then C f64 scalars, S x M f32 values, S x K u32 neuron indices, S x K f32 energy shares
 *
 * A reader skips header bytes that it does not know and ignores what follows the last array, so fields can be added.
 * The arrays are copied as they lie in memory, which is right on little-endian processors: all that TensorFlow.js runs on.
 */
import { OutlierscopeError } from './errors.ts';

export interface Frame {
  /** Counts a run's frames from 0 without gaps; with the run id it is the frame's identity. */
  readonly sequence: number;
  /** The training step that was sampled. */
  readonly step: number;
  /** When, by the trainer's clock, in milliseconds since 1970. */
  readonly time: number;
  /** One value for each scalar that the run declared; see `isMeasured`. */
  readonly scalars: Float64Array;
  /** sites x metrics, row by row, in the declared order; see `isMeasured`. */
  readonly values: Float32Array;
  readonly topNeurons: TopNeurons;
}

/** The most energetic neurons of every site, largest first. */
export interface TopNeurons {
  /** How many for each site. */
  readonly count: number;
  /** sites x count neuron indices; `noNeuron` where the site has fewer. */
  readonly indices: Uint32Array;
  /** sites x count shares of the site's total energy, s_j^2 / sum_j s_j^2, from 0 to 1. */
  readonly shares: Float32Array;
}

/**
 * What was not measured is a NaN with bits of its own, apart from the NaN that arithmetic gives: a loss that is NaN and no loss
 * at all are different news. Copies of whole arrays keep the bits; a number taken out of an array need not.
 */
const absentFloat32 = 0x7fc0_0abe;
const absentFloat64 = 0x7ff8_0000_0000_0aben;

/** Site values of which none is measured yet. */
export function absentValues(length: number): Float32Array {
  return new Float32Array(new Uint32Array(length).fill(absentFloat32).buffer);
}

/** Scalars of which none is measured yet. */
export function absentScalars(length: number): Float64Array {
  return new Float64Array(new BigUint64Array(length).fill(absentFloat64).buffer);
}

/** Whether a frame's array holds a measured value at an index; NaN may be one. */
export function isMeasured(array: Float32Array | Float64Array, index: number): boolean {
  const value = array[index];
  if (value === undefined) return false;
  if (!Number.isNaN(value)) return true;
  const { buffer, byteOffset, length } = array;
  return array instanceof Float32Array
    ? new Uint32Array(buffer, byteOffset, length)[index] !== absentFloat32
    : new BigUint64Array(buffer, byteOffset, length)[index] !== absentFloat64;
}

/** One metric at every site of a frame, the absent ones still absent. */
export function columnOf(values: Float32Array, column: number, metrics: number): Float32Array {
  const bits = new Uint32Array(values.buffer, values.byteOffset, values.length);
  const taken = new Uint32Array(values.length / metrics);
  for (let site = 0, index = column; site < taken.length; site++, index += metrics) taken[site] = bits[index] as number;
  return new Float32Array(taken.buffer);
}

export const frameKind = 1;
export const frameVersion = 1;
export const noNeuron = 0xffffffff;
/** Where a frame's sequence number lies. */
export const sequenceOffset = 16;
const headerBytes = 40;

/** How many sites, metrics, scalars and top neurons a frame has. */
export interface FrameShape {
  readonly sites: number;
  readonly metrics: number;
  readonly scalars: number;
  readonly topNeurons: number;
}

/** Size of an encoded frame in bytes. */
export function frameBytes(shape: FrameShape): number {
  return headerBytes + 8 * shape.scalars + 4 * shape.sites * (shape.metrics + 2 * shape.topNeurons);
}

/** Encodes a frame of `metrics` columns; its number of sites follows from the length of `values`. */
export function encodeFrame(frame: Frame, metrics: number): Uint8Array<ArrayBuffer> {
  const shape: FrameShape = {
    sites: siteCount(frame, metrics),
    metrics,
    scalars: frame.scalars.length,
    topNeurons: frame.topNeurons.count,
  };
  const bytes = new Uint8Array(frameBytes(shape));
  const view = new DataView(bytes.buffer);
  view.setUint8(0, frameKind);
  view.setUint8(1, frameVersion);
  view.setUint16(2, headerBytes, true);
  view.setUint16(4, shape.scalars, true);
  view.setUint16(6, shape.metrics, true);
  view.setUint32(8, shape.sites, true);
  view.setUint16(12, shape.topNeurons, true);
  view.setFloat64(sequenceOffset, frame.sequence, true);
  view.setFloat64(24, frame.step, true);
  view.setFloat64(32, frame.time, true);
  let offset = headerBytes;
  for (const array of [frame.scalars, frame.values, frame.topNeurons.indices, frame.topNeurons.shares]) {
    bytes.set(new Uint8Array(array.buffer, array.byteOffset, array.byteLength), offset);
    offset += array.byteLength;
  }
  return bytes;
}

/** A run may measure none of a frame's metrics and list its neurons all the same. */
function siteCount({ values, topNeurons: { count, indices } }: Frame, metrics: number): number {
  if (metrics > 0) return values.length / metrics;
  return count > 0 ? indices.length / count : 0;
}

/** A decoded frame and the shape that its header states. */
export interface DecodedFrame {
  readonly frame: Frame;
  readonly shape: FrameShape;
}

/**
 * Decodes a frame. The message is copied once, as a whole, and the arrays lie in that copy: the message's buffer may be reused.
 * @throws OutlierscopeError naming what is wrong: kind, version, length, or a sequence, step or time out of range.
 */
export function decodeFrame(bytes: Uint8Array): DecodedFrame {
  const header = readHeader(bytes);
  // Not `bytes.slice`: a Buffer of Node shares its memory with what its slice gives.
  return layOver(new Uint8Array(bytes.subarray(0, header.bytes)), header);
}

/**
 * Decodes a frame whose arrays lie in the message itself: neither may be changed from then on. A message that does not begin at a
 * multiple of 8 in its buffer is copied, as typed arrays cannot lie on it.
 * @throws OutlierscopeError as `decodeFrame`
 */
export function viewFrame(bytes: Uint8Array): DecodedFrame {
  return bytes.byteOffset % 8 === 0 ? layOver(bytes, readHeader(bytes)) : decodeFrame(bytes);
}

interface Header extends Pick<Frame, 'sequence' | 'step' | 'time'> {
  /** Where the arrays begin. */
  readonly start: number;
  readonly shape: FrameShape;
  /** Of the whole frame. */
  readonly bytes: number;
}

function readHeader(bytes: Uint8Array): Header {
  if (bytes.byteLength < headerBytes)
    throw malformed(`${bytes.byteLength} bytes are fewer than its header of ${headerBytes}`);
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  if (view.getUint8(0) !== frameKind) throw malformed(`its kind is ${view.getUint8(0)}, known is ${frameKind}`);
  if (view.getUint8(1) !== frameVersion)
    throw malformed(`its version is ${view.getUint8(1)}, known is ${frameVersion}`);
  const start = view.getUint16(2, true);
  if (start < headerBytes || start % 8 !== 0) throw malformed(`its header length is ${start}`);
  const shape: FrameShape = {
    scalars: view.getUint16(4, true),
    metrics: view.getUint16(6, true),
    sites: view.getUint32(8, true),
    topNeurons: view.getUint16(12, true),
  };
  const expected = frameBytes(shape) - headerBytes + start;
  if (bytes.byteLength < expected)
    throw malformed(`${bytes.byteLength} bytes are fewer than the ${expected} that its header asks for`);
  return {
    start,
    shape,
    bytes: expected,
    sequence: count('sequence', view.getFloat64(sequenceOffset, true)),
    step: count('step', view.getFloat64(24, true)),
    time: moment(view.getFloat64(32, true)),
  };
}

/** The arrays of a frame over its bytes. */
function layOver({ buffer, byteOffset }: Uint8Array, { start, shape, sequence, step, time }: Header): DecodedFrame {
  const scalarsAt = byteOffset + start;
  const valuesAt = scalarsAt + 8 * shape.scalars;
  const indicesAt = valuesAt + 4 * shape.sites * shape.metrics;
  const neurons = shape.sites * shape.topNeurons;
  const frame: Frame = {
    sequence,
    step,
    time,
    scalars: new Float64Array(buffer, scalarsAt, shape.scalars),
    values: new Float32Array(buffer, valuesAt, shape.sites * shape.metrics),
    topNeurons: {
      count: shape.topNeurons,
      indices: new Uint32Array(buffer, indicesAt, neurons),
      shares: new Float32Array(buffer, indicesAt + 4 * neurons, neurons),
    },
  };
  return { frame, shape };
}

function count(name: string, value: number): number {
  if (!Number.isSafeInteger(value) || value < 0)
    throw malformed(`its ${name} is ${value}, not a whole number from 0 on`);
  return value;
}

function moment(value: number): number {
  // The range of ECMAScript's Date; the server judges apart whether the clock is plausible.
  if (!(Math.abs(value) <= 8.64e15)) throw malformed(`its time is ${value}, not milliseconds since 1970`);
  return value;
}

function malformed(detail: string): OutlierscopeError {
  return new OutlierscopeError(`malformed frame: ${detail}`, {
    code: 'malformed-frame',
    hint: 'see docs/protocol.md for the layout',
  });
}

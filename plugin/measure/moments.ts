/**
 * Column moments of activations that lie in host memory, by one pass of WebAssembly (moments.wat). Large tensors go through it
 * piece by piece, so that its memory stays small and each piece is in the processor's cache.
 */
import type { SummaryParts } from './layout.ts';
import { momentsWasm } from './moments-wasm.ts';

/** Of X [n, d] times `scale`, over the rows. What was not asked for is empty. */
export interface Moments {
  readonly scale: number;
  /** max |X|, the scale taken away again. */
  readonly absmax: number;
  /** [d]: means of squares. */
  readonly squares: Float64Array;
  /** [d] */
  readonly means: Float64Array;
  /** [d]: means of squares after each row's mean is taken away. */
  readonly centredSquares: Float64Array;
  /** [d] */
  readonly fourthPowers: Float64Array;
}

interface Assembled {
  readonly memory: { readonly buffer: ArrayBuffer; grow(pages: number): void };
  powers(x: number, n: number, w: number, scale: number, out: number, fourth: 0 | 1): number;
  moments(x: number, n: number, w: number, d: number, scale: number, out: number): number;
}

/** The part of the WebAssembly interface that is used; the types of Node and of browsers do not share it. */
interface WebAssemblyLike {
  Module: new (bytes: Uint8Array) => object;
  Instance: new (module: object) => { readonly exports: object };
}

/** Where the assembled code keeps nothing of its own. */
const free = 128;
const pageBytes = 65_536;
/** Rows in a piece: whole blocks of 32, and about this many bytes. */
const pieceBytes = 256 * 1024;
/** Infinity's bits; NaN's are larger. */
const firstNonfinite = 0x7f800000;

let assembled: Assembled | undefined | 'none';

/** Whether this environment runs the pass: WebAssembly with SIMD, which a page's Content-Security-Policy may forbid. */
export function hasMoments(): boolean {
  return instance() !== undefined;
}

function instance(): Assembled | undefined {
  if (assembled === undefined) {
    try {
      const { Module, Instance } = (globalThis as unknown as { WebAssembly: WebAssemblyLike }).WebAssembly;
      const bytes = Uint8Array.from(atob(momentsWasm), (character) => character.charCodeAt(0));
      assembled = new Instance(new Module(bytes)).exports as Assembled;
    } catch {
      assembled = 'none';
    }
  }
  return assembled === 'none' ? undefined : assembled;
}

/**
 * The moments of `values`, row by row of `width`; undefined where one of them is NaN or infinite. Squares and fourth powers that
 * would leave the range of float32 are taken of values brought near 1 by a power of two, which changes no digit.
 * @throws Error where `hasMoments` is false.
 */
export function momentsOf(values: Float32Array, width: number, parts: SummaryParts): Moments | undefined {
  const code = instance();
  if (code === undefined) throw new Error('this environment has no WebAssembly with SIMD');
  const moments = pass(code, values, width, parts, 1);
  if (moments === undefined) return undefined;
  // Fourth powers, and squares of products, of 2^20 are 2^80: far from the ends, as those of 2^10 times smaller ones are.
  const exponent = parts.fourth || parts.gramRows > 0 ? 20 : 50;
  const { absmax } = moments;
  if (absmax === 0 || (absmax > 2 ** -exponent && absmax < 2 ** exponent)) return moments;
  return pass(code, values, width, parts, scaleFor(absmax));
}

/** Brings the largest magnitude near 1. A power of two changes no digit; float32 has those from 2^-126 to 2^127. */
export function scaleFor(absmax: number): number {
  return 2 ** Math.max(-126, Math.min(126, -Math.round(Math.log2(absmax))));
}

function pass(
  code: Assembled,
  values: Float32Array,
  width: number,
  { propagation, fourth }: SummaryParts,
  scale: number,
): Moments | undefined {
  const rows = values.length / width;
  const padded = (width + 3) & ~3;
  const ofPiece = Math.min(rows, Math.max(1, (pieceBytes / (4 * 32 * padded)) | 0) * 32);
  const columns = 8 * padded;
  const lengths = (propagation ? 3 : 1) + (fourth ? 1 : 0);
  const start = free + columns * lengths;
  reserve(code, start + 4 * padded * ofPiece);
  const { buffer } = code.memory;
  const sums = new Float64Array(buffer, free, padded * lengths).fill(0);
  const piece = new Float32Array(buffer, start, padded * ofPiece);
  if (padded !== width) piece.fill(0);

  let top = 0;
  for (let row = 0; row < rows; row += ofPiece) {
    const n = Math.min(ofPiece, rows - row);
    copyRows(values.subarray(row * width, (row + n) * width), width, piece, padded);
    const bits = propagation
      ? code.moments(start, n, padded, width, scale, free)
      : code.powers(start, n, padded, scale, free, 0);
    top = Math.max(top, bits >>> 0);
    if (fourth) code.powers(start, n, padded, scale, free + columns * (lengths - 1), 1);
  }
  if (top >= firstNonfinite) return undefined;
  const meansAt = (index: number, wanted: boolean): Float64Array =>
    wanted ? sums.slice(index * padded, index * padded + width).map((sum) => sum / rows) : new Float64Array(0);
  return {
    scale,
    absmax: floatOf(top) / scale,
    squares: meansAt(0, true),
    means: meansAt(1, propagation),
    centredSquares: meansAt(2, propagation),
    fourthPowers: meansAt(lengths - 1, fourth),
  };
}

function reserve({ memory }: Assembled, bytes: number): void {
  const missing = bytes - memory.buffer.byteLength;
  if (missing > 0) memory.grow(Math.ceil(missing / pageBytes));
}

function copyRows(rows: Float32Array, width: number, to: Float32Array, padded: number): void {
  if (padded === width) {
    to.set(rows);
    return;
  }
  for (let from = 0, at = 0; from < rows.length; from += width, at += padded) {
    to.set(rows.subarray(from, from + width), at);
  }
}

function floatOf(bits: number): number {
  return new Float32Array(Uint32Array.of(bits).buffer)[0] as number;
}

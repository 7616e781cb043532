/**
 * Column moments of activations that lie in host memory, by one pass of WebAssembly (simd.wat). Large tensors go through it
 * piece by piece, so that its memory stays small and each piece is in the processor's cache.
 */
import type { SummaryParts } from './layout.ts';
import { copyRows, freeMemory, paddedWidth, reserve, type Simd, simdHere } from './simd.ts';

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

/** A piece is whole blocks of 32 rows, of about this many bytes. */
const pieceBytes = 256 * 1024;
/** Infinity's bits; NaN's are larger. */
const firstNonfinite = 0x7f800000;

/**
 * The moments of `values`, row by row of `width`; undefined where one of them is NaN or infinite. Squares and fourth powers that
 * would leave the range of float32 are taken of values brought near 1 by a power of two, which changes no digit.
 * @throws Error where there is no SIMD (simd.ts).
 */
export function momentsOf(values: Float32Array, width: number, parts: SummaryParts): Moments | undefined {
  const code = simdHere();
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
  code: Simd,
  values: Float32Array,
  width: number,
  { propagation, fourth }: SummaryParts,
  scale: number,
): Moments | undefined {
  const rows = values.length / width;
  const padded = paddedWidth(width);
  const ofPiece = Math.min(rows, Math.max(1, (pieceBytes / (4 * 32 * padded)) | 0) * 32);
  const columns = 8 * padded;
  const lengths = (propagation ? 3 : 1) + (fourth ? 1 : 0);
  const start = freeMemory + columns * lengths;
  reserve(code, start + 4 * padded * ofPiece);
  const { buffer } = code.memory;
  const sums = new Float64Array(buffer, freeMemory, padded * lengths).fill(0);
  const piece = new Float32Array(buffer, start, padded * ofPiece);
  if (padded !== width) piece.fill(0);

  let top = 0;
  for (let row = 0; row < rows; row += ofPiece) {
    const n = Math.min(ofPiece, rows - row);
    copyRows(values.subarray(row * width, (row + n) * width), width, piece);
    const bits = propagation
      ? code.moments(start, n, padded, width, scale, freeMemory)
      : code.powers(start, n, padded, scale, freeMemory, 0);
    top = Math.max(top, bits >>> 0);
    if (fourth) code.powers(start, n, padded, scale, freeMemory + columns * (lengths - 1), 1);
  }
  if (top >= firstNonfinite) return undefined;
  const meansAt = (index: number, wanted: boolean): Float64Array => {
    const means = sums.slice(index * padded, wanted ? index * padded + width : index * padded);
    for (let column = 0; column < means.length; column++) (means[column] as number) /= rows;
    return means;
  };
  return {
    scale,
    absmax: floatOf(top) / scale,
    squares: meansAt(0, true),
    means: meansAt(1, propagation),
    centredSquares: meansAt(2, propagation),
    fourthPowers: meansAt(lengths - 1, fourth),
  };
}

function floatOf(bits: number): number {
  return new Float32Array(Uint32Array.of(bits).buffer)[0] as number;
}

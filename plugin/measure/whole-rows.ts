/** Metrics that need whole rows, on the few rows that are brought along. Float64, no allocation in the loops. */
import type { Numbers, Summary } from './layout.ts';
import { copyRows, freeMemory, paddedWidth, reserve, type Simd, simdHere } from './simd.ts';

/** He et al., Eq. 2: mean over rows of max |x| / median |x|, the median being the lower middle value. Of finite values. */
export function maxMedianRatioOfRows({ sample, width }: Summary): number {
  const simd = simdHere();
  const pairs = simd === undefined ? mediansOf(sample, width) : simdMediansOf(simd, sample, width);
  let sum = 0;
  for (let row = 0; row < pairs.length; row += 2) sum += (pairs[row + 1] as number) / (pairs[row] as number);
  return sum / (pairs.length / 2);
}

/** For every row its median and its largest magnitude. */
export function mediansOf(sample: Numbers, width: number): Float32Array {
  const row = new Float32Array(width);
  const pairs = new Float32Array((2 * sample.length) / width);
  for (let start = 0, at = 0; start < sample.length; start += width, at += 2) {
    let largest = 0;
    for (let j = 0; j < width; j++) {
      const magnitude = Math.abs(sample[start + j] as number);
      row[j] = magnitude;
      if (magnitude > largest) largest = magnitude;
    }
    pairs[at] = select(row, (width - 1) >> 1);
    pairs[at + 1] = largest;
  }
  return pairs;
}

/** The same, several times as fast. */
export function simdMediansOf(simd: Simd, sample: Numbers, width: number): Float32Array {
  const rows = sample.length / width;
  const padded = paddedWidth(width);
  const start = freeMemory + 8 * rows;
  reserve(simd, start + 4 * padded * rows);
  const at = new Float32Array(simd.memory.buffer, start, padded * rows);
  if (padded !== width) at.fill(Number.NaN);
  copyRows(sample as Float32Array, width, at);
  simd.medians(start, rows, padded, width, freeMemory);
  return new Float32Array(simd.memory.buffer, freeMemory, 2 * rows).slice();
}

/** Sums of squares of the rows and of what rounding them to int8 with the scale absmax / 127 takes away. */
export function int8NoiseOfRows(sample: Numbers, absmax: number): { signal: number; noise: number } {
  const steps = 127 / absmax;
  let signal = 0;
  let noise = 0; // in squares of steps
  for (let index = 0; index < sample.length; index++) {
    const value = sample[index] as number;
    const error = value * steps - roundHalfToEven(value * steps);
    signal += value * value;
    noise += error * error;
  }
  return { signal, noise: noise / steps ** 2 };
}

/** Adding 1.5 * 2^52 leaves no bits for a fraction; float64 addition rounds half to even. For |x| < 2^51. */
function roundHalfToEven(x: number): number {
  return x + 6755399441055744 - 6755399441055744;
}

/** The k-th smallest value (from 0) of values without NaN; reorders them. Hoare's quickselect. */
export function select(values: Float32Array, k: number): number {
  let low = 0;
  let high = values.length - 1;
  while (low < high) {
    const pivot = values[(low + high) >> 1] as number;
    let i = low;
    let j = high;
    while (i <= j) {
      while ((values[i] as number) < pivot) i++;
      while ((values[j] as number) > pivot) j--;
      if (i <= j) {
        const swap = values[i] as number;
        values[i++] = values[j] as number;
        values[j--] = swap;
      }
    }
    if (k <= j) high = j;
    else if (k >= i) low = i;
    else break;
  }
  return values[k] as number;
}

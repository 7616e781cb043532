/** Metrics that need whole rows, on the few rows that are brought along. Float64, no allocation in the loops. */
import type { Numbers, Summary } from './layout.ts';

/** He et al., Eq. 2: mean over rows of max |x| / median |x|, the median being the lower middle value. */
export function maxMedianRatioOfRows({ sample, width }: Summary): number {
  const row = new Float32Array(width);
  let sum = 0;
  for (let start = 0; start < sample.length; start += width) {
    let maximum = 0;
    for (let j = 0; j < width; j++) {
      const magnitude = Math.abs(sample[start + j] as number);
      row[j] = magnitude;
      if (magnitude > maximum || Number.isNaN(magnitude)) maximum = magnitude;
    }
    if (Number.isNaN(maximum)) return Number.NaN;
    sum += maximum / select(row, (width - 1) >> 1);
  }
  return sum / (sample.length / width);
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

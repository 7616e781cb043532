/** Numbers as the API sends them: JSON has no NaN and no infinities. Pure. */
import { isMeasured } from '../src/frame.ts';

/** A finite number, `'NaN'`, `'Infinity'` or `'-Infinity'`, or `null` for "not measured". */
export type JsonNumber = number | string | null;

/** What a frame's array holds at an index. */
export function jsonNumberAt(array: Float32Array | Float64Array, index: number): JsonNumber {
  if (!isMeasured(array, index)) return null;
  const value = array[index] as number;
  return Number.isFinite(value) ? value : String(value);
}

/** The smallest or largest of several; NaN only where every measured one is, `null` where none was measured. */
export function extremeOf(values: readonly JsonNumber[], pick: (...numbers: number[]) => number): JsonNumber {
  const numbers = values.filter((value) => value !== null && value !== 'NaN').map(Number);
  if (numbers.length === 0) return values.includes('NaN') ? 'NaN' : null;
  const value = pick(...numbers);
  return Number.isFinite(value) ? value : String(value);
}

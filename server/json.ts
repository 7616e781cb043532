/** Numbers as the API sends them: JSON has no NaN and no infinities. Pure. */

/** A finite number, `null` for "not measured" (NaN in frames), or `'Infinity'` / `'-Infinity'`. */
export type JsonNumber = number | string | null;

export function toJsonNumber(value: number | undefined): JsonNumber {
  if (value === undefined || Number.isNaN(value)) return null;
  return Number.isFinite(value) ? value : String(value);
}

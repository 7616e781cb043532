/**
 * Numbers as text that reads back as the same double, written as bytes. Pure.
 *
 * Almost all that /metrics shows is float32, whose digits are found by exact arithmetic, with no string in between. For v = m 2^-k
 * with an m of 24 bits, v x 10^8 = (m 5^8) 2^(8-k), and 5^8 has 19 bits: the product, its whole part and its rest all fit a double
 * without rounding. So eight digits come with each multiplication, as long as k is at most 42: from 2^-19 on.
 */

/** No number takes more bytes. */
export const longestNumber = 32;

const smallest = 2 ** -19;
const leastExponent = -19;
const minus = 45;
const dot = 46;
const zero = 48;

/** Digits 00 to 99, two bytes each. */
const pairs = Uint8Array.from({ length: 200 }, (_, index) => {
  const pair = index >> 1;
  return zero + (index % 2 === 0 ? Math.floor(pair / 10) : pair % 10);
});

/**
 * Digits after the point that tell a double from its neighbours, by the exponent from -19 to 23. They are cut off, not rounded, so
 * what is missing must be less than half of the distance to the next double: 10^-n <= 2^(exponent - 53).
 */
const fractionDigits = Uint8Array.from({ length: 24 - leastExponent }, (_, index) =>
  Math.ceil((53 - (index + leastExponent)) * Math.log10(2)),
);

/** Writes the number at `at`, where `longestNumber` bytes are free; gives the place after it. */
export function writeNumber(bytes: Uint8Array, at: number, value: number): number {
  const size = Math.abs(value);
  const whole = Math.floor(size);
  const isFloat32 = Math.fround(value) === value && size >= smallest;
  // The comparison fails for NaN too.
  if (!(size <= Number.MAX_SAFE_INTEGER) || (whole !== size && !isFloat32)) return writeText(bytes, at, value);
  let end = at;
  if (value < 0 || Object.is(value, -0)) bytes[end++] = minus;
  end = writeWhole(bytes, end, whole);
  if (whole === size) return end;
  bytes[end++] = dot;
  return writeFraction(bytes, end, size - whole, size);
}

/** The digits of a whole number that is not negative. */
function writeWhole(bytes: Uint8Array, at: number, whole: number): number {
  if (whole < 10) {
    bytes[at] = zero + whole;
    return at + 1;
  }
  let length = 2;
  for (let bound = 100; whole >= bound; bound *= 10) length++;
  let rest = whole;
  for (let place = at + length - 1; place >= at; place--) {
    const tenth = Math.floor(rest / 10);
    bytes[place] = zero + (rest - 10 * tenth);
    rest = tenth;
  }
  return at + length;
}

/** The digits of what a float32 has after the point, without zeros at their end. */
function writeFraction(bytes: Uint8Array, at: number, fraction: number, size: number): number {
  const exponent = size >= 1 ? 31 - Math.clz32(size) : -1 - Math.clz32(size * 2 ** 32);
  const end = at + (fractionDigits[exponent - leastExponent] as number);
  let rest = fraction;
  let place = at;
  do {
    rest *= 1e8;
    const eight = rest | 0;
    rest -= eight;
    const high = (eight / 10_000) | 0;
    writeFour(bytes, place, high);
    writeFour(bytes, place + 4, eight - 10_000 * high);
    place += 8;
  } while (place < end && rest > 0);
  let last = Math.min(place, end) - 1;
  while (bytes[last] === zero) last--;
  return last + 1;
}

function writeFour(bytes: Uint8Array, at: number, four: number): void {
  const high = (four / 100) | 0;
  const low = four - 100 * high;
  bytes[at] = pairs[2 * high] as number;
  bytes[at + 1] = pairs[2 * high + 1] as number;
  bytes[at + 2] = pairs[2 * low] as number;
  bytes[at + 3] = pairs[2 * low + 1] as number;
}

/** What is left: doubles such as times, very small numbers, those that are not finite. */
function writeText(bytes: Uint8Array, at: number, value: number): number {
  const text = numberText(value);
  for (let index = 0; index < text.length; index++) bytes[at + index] = text.charCodeAt(index);
  return at + text.length;
}

function numberText(value: number): string {
  if (Number.isFinite(value)) return String(value);
  return Number.isNaN(value) ? 'NaN' : value > 0 ? '+Inf' : '-Inf';
}

/**
 * The messages of remote write 1.0 as bytes, by hand: with label bytes that are prepared once a sample costs a few writes, a tenth of
 * what a protobuf library takes. https://prometheus.io/docs/specs/prw/remote_write_spec/
 *
 *     WriteRequest { repeated TimeSeries timeseries = 1 }
 *     TimeSeries   { repeated Label labels = 1; repeated Sample samples = 2 }
 *     Label        { string name = 1; string value = 2 }
 *     Sample       { double value = 1; int64 timestamp = 2, milliseconds since 1970 }
 */

/** An ordinary NaN with the bits that Prometheus gives it: no trainer's NaN must look like the one below. */
const normalNaN = [0x0000_0001, 0x7ff8_0000] as const;
/** The NaN that says that a series has ended. */
const staleNaN = [0x0000_0002, 0x7ff0_0000] as const;

/** Tags and length of a sample, and its value; the time's bytes come on top. */
const sampleHead = 2 + 9 + 1;
/** More than a sample or a head of a series can take. */
const roomOfSample = 24;

/** Fills one buffer with series, again and again. */
export class RequestEncoder {
  #bytes = new Uint8Array(256 * 1024);
  #view = new DataView(this.#bytes.buffer);
  #length = 0;
  #samples = 0;

  /** Samples in the request so far. */
  get samples(): number {
    return this.#samples;
  }

  /** The request so far; changes with the next `add`. */
  get bytes(): Uint8Array {
    return this.#bytes.subarray(0, this.#length);
  }

  clear(): void {
    this.#length = 0;
    this.#samples = 0;
  }

  /** A series with the first `count` of these samples, in the order of time. NaN is sent as an ordinary one. */
  add(labels: Uint8Array, values: ArrayLike<number>, times: ArrayLike<number>, count: number = times.length): void {
    let size = count * sampleHead;
    for (let index = 0; index < count; index++) size += varintLength(times[index] as number);
    this.#head(labels, size, count);
    for (let index = 0; index < count; index++) {
      const value = values[index] as number;
      const at = this.#sample(times[index] as number);
      if (Number.isNaN(value)) this.#bits(at, normalNaN);
      else this.#view.setFloat64(at, value, true);
    }
  }

  /** The marker that a series ends at that time. */
  addStale(labels: Uint8Array, time: number): void {
    this.#head(labels, sampleHead + varintLength(time), 1);
    this.#bits(this.#sample(time), staleNaN);
  }

  /** A series of samples that are encoded already, with their tags and lengths. */
  addEncoded(labels: Uint8Array, samples: readonly Uint8Array[]): void {
    this.#head(
      labels,
      samples.reduce((size, sample) => size + sample.length, 0),
      samples.length,
    );
    for (const sample of samples) {
      this.#bytes.set(sample, this.#length);
      this.#length += sample.length;
    }
  }

  #head(labels: Uint8Array, size: number, count: number): void {
    const needed = this.#length + labels.length + (count + 1) * roomOfSample;
    if (needed > this.#bytes.length) this.#grow(needed);
    this.#bytes[this.#length++] = 0x0a;
    this.#length = putVarint(this.#bytes, this.#length, labels.length + size);
    this.#bytes.set(labels, this.#length);
    this.#length += labels.length;
    this.#samples += count;
  }

  /** A sample but for its value; returns where that goes. */
  #sample(time: number): number {
    const bytes = this.#bytes;
    const start = this.#length;
    bytes[start] = 0x12;
    bytes[start + 2] = 0x09;
    bytes[start + 11] = 0x10;
    this.#length = putVarint(bytes, start + 12, time);
    bytes[start + 1] = this.#length - start - 2;
    return start + 3;
  }

  #bits(at: number, [low, high]: readonly [number, number]): void {
    this.#view.setUint32(at, low, true);
    this.#view.setUint32(at + 4, high, true);
  }

  #grow(needed: number): void {
    const larger = new Uint8Array(Math.max(needed, 2 * this.#bytes.length));
    larger.set(this.#bytes);
    this.#bytes = larger;
    this.#view = new DataView(larger.buffer);
  }
}

/** A label as a field of a series. */
export function labelField(name: string, value: string): Uint8Array {
  return lengthDelimited(1, join([textField(1, name), textField(2, value)]));
}

export function join(parts: readonly Uint8Array[]): Uint8Array {
  return new Uint8Array(Buffer.concat(parts));
}

/** Half surrogates, which are no Unicode, become U+FFFD as in /metrics. */
function textField(number: number, text: string): Uint8Array {
  return lengthDelimited(number, Buffer.from(text, 'utf8'));
}

function lengthDelimited(number: number, bytes: Uint8Array): Uint8Array {
  const head = new Uint8Array(10);
  head[0] = (number << 3) | 2;
  return join([head.subarray(0, putVarint(head, 1, bytes.length)), bytes]);
}

const lowBits = 2 ** 28;

/** Writes a whole number from 0 to 2^53; returns where it ended. In two halves, as bit operations take 32 bits. */
function putVarint(bytes: Uint8Array, start: number, value: number): number {
  let at = start;
  let rest = value;
  if (value >= lowBits) {
    const high = Math.floor(value / lowBits);
    const low = value - high * lowBits;
    bytes[at] = low | 0x80;
    bytes[at + 1] = (low >>> 7) | 0x80;
    bytes[at + 2] = (low >>> 14) | 0x80;
    bytes[at + 3] = (low >>> 21) | 0x80;
    at += 4;
    rest = high;
  }
  while (rest >= 0x80) {
    bytes[at++] = rest | 0x80;
    rest >>>= 7;
  }
  bytes[at++] = rest;
  return at;
}

function varintLength(value: number): number {
  let length = 1;
  for (let bound = 0x80; value >= bound; bound *= 0x80) length += 1;
  return length;
}

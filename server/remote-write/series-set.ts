/** Which of a run's series were ever sent, a bit each: those are to be ended with it. Grows with the lists of scalars and sites. */
import { limits } from '../../src/messages.ts';

/** Scalars come first, as many as the protocol allows, then the values row by row: both lists grow at their ends. */
export const firstValue = limits.scalars;

export class SeriesSet {
  #bytes: Uint8Array;

  constructor(bytes: Uint8Array = new Uint8Array(firstValue / 8)) {
    this.#bytes = bytes;
  }

  get bytes(): Uint8Array {
    return this.#bytes;
  }

  has(index: number): boolean {
    return ((this.#bytes[index >> 3] ?? 0) & (1 << (index & 7))) !== 0;
  }

  add(index: number): void {
    const place = index >> 3;
    if (place >= this.#bytes.length) {
      const larger = new Uint8Array(place + 64);
      larger.set(this.#bytes);
      this.#bytes = larger;
    }
    this.#bytes[place] = (this.#bytes[place] as number) | (1 << (index & 7));
  }
}

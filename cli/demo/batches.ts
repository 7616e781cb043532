/** Training examples: windows of the text, and the same windows one token later. */

/** Mulberry32: small, seeded, good enough to choose windows with. Numbers in [0, 1). */
export function seededRandom(seed: number): () => number {
  let state = seed | 0;
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let bits = Math.imul(state ^ (state >>> 15), 1 | state);
    bits = (bits + Math.imul(bits ^ (bits >>> 7), 61 | bits)) ^ bits;
    return ((bits ^ (bits >>> 14)) >>> 0) / 2 ** 32;
  };
}

export interface Windows {
  /** count x positions token numbers. */
  readonly inputs: Int32Array;
  /** The token that follows each of them. */
  readonly targets: Int32Array;
}

/** Windows at random places. The first ones are the same for every `count`. */
export function randomWindows(tokens: Int32Array, count: number, positions: number, random: () => number): Windows {
  const inputs = new Int32Array(count * positions);
  const targets = new Int32Array(count * positions);
  for (let window = 0; window < count; window++) {
    const start = Math.floor(random() * (tokens.length - positions));
    inputs.set(tokens.subarray(start, start + positions), window * positions);
    targets.set(tokens.subarray(start + 1, start + 1 + positions), window * positions);
  }
  return { inputs, targets };
}

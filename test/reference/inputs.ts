// Seeded inputs for comparing implementations of the metrics: float32, so every implementation starts from the same bits.

export interface Case {
  name: string;
  rows: number;
  width: number;
  /** Row-major. */
  data: Float32Array;
}

/** A standard normal variate at each call: Box-Muller on Mulberry32. */
export function normal(seed: number): () => number {
  const uniform = mulberry32(seed);
  return () => {
    const radius = Math.sqrt(-2 * Math.log(1 - uniform())); // 1 - u lies in (0, 1]
    return radius * Math.cos(2 * Math.PI * uniform());
  };
}

/** Mulberry32: uniform in [0, 1), 32 bits of state. */
export function mulberry32(seed: number): () => number {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let bits = state;
    bits = Math.imul(bits ^ (bits >>> 15), bits | 1);
    bits ^= bits + Math.imul(bits ^ (bits >>> 7), bits | 61);
    return ((bits ^ (bits >>> 14)) >>> 0) / 2 ** 32;
  };
}

/** Independent standard normal entries. */
export function random(rows: number, width: number, seed = 1): Float32Array {
  const next = normal(seed);
  return fill(rows, width, () => next());
}

/** Standard normal, but `outliers` neurons, spread over the width, are 10 to 100 times larger. */
export function withOutliers(rows: number, width: number, seed = 2, outliers = 3): Float32Array {
  const next = normal(seed);
  const factors = new Map<number, number>();
  for (let outlier = 0; outlier < outliers; outlier++) {
    const neuron = Math.floor(((outlier + 0.5) * width) / outliers);
    factors.set(neuron, outliers === 1 ? 100 : 10 * 10 ** (outlier / (outliers - 1)));
  }
  return fill(rows, width, (_, neuron) => next() * (factors.get(neuron) ?? 1));
}

/** Every row is the same random vector plus 1 % noise. */
export function rankCollapsed(rows: number, width: number, seed = 3): Float32Array {
  const next = normal(seed);
  const direction = Array.from({ length: width }, () => next());
  return fill(rows, width, (_, neuron) => (direction[neuron] ?? Number.NaN) + 0.01 * next());
}

/** Every row is the same random vector: rank one, and every pair of rows correlates by exactly 1. */
export function exactlyRankOne(rows: number, width: number, seed = 4): Float32Array {
  const direction = random(1, width, seed);
  return fill(rows, width, (_, neuron) => direction[neuron] ?? Number.NaN);
}

/** Rank one with rows of different length and sign: the same vector times 1, -2, 4, 1, -2, 4, ... */
export function rankOneOfMixedLengths(rows: number, width: number, seed = 5): Float32Array {
  const direction = random(1, width, seed);
  const factors = [1, -2, 4]; // powers of two: exact in float32
  return fill(rows, width, (row, neuron) => (factors[row % 3] ?? Number.NaN) * (direction[neuron] ?? Number.NaN));
}

/** Normal entries of standard deviation 1 around a common mean of 5. */
export function largeOffset(rows: number, width: number, seed = 6): Float32Array {
  const next = normal(seed);
  return fill(rows, width, () => 5 + next());
}

/** All 0. */
export function zeros(rows: number, width: number): Float32Array {
  return new Float32Array(rows * width);
}

/** All `value`. */
export function constant(rows: number, width: number, value = 0.75): Float32Array {
  return fill(rows, width, () => value);
}

/** A single random row. */
export function oneRow(width: number, seed = 7): Float32Array {
  return random(1, width, seed);
}

/** A single random column. */
export function oneNeuron(rows: number, seed = 8): Float32Array {
  return random(rows, 1, seed);
}

/** Random, with one NaN in the middle. */
export function withNaN(rows: number, width: number, seed = 9): Float32Array {
  const data = random(rows, width, seed);
  data[Math.floor(data.length / 2)] = Number.NaN;
  return data;
}

/** Random, with one Infinity (or `value`) in the middle. */
export function withInfinity(rows: number, width: number, seed = 10, value = Number.POSITIVE_INFINITY): Float32Array {
  const data = random(rows, width, seed);
  data[Math.floor(data.length / 2)] = value;
  return data;
}

/** Every value times `factor`, rounded to float32 again. */
export function scaled(data: Float32Array, factor: number): Float32Array {
  return data.map((value) => Math.fround(value * factor));
}

/** 2 x 4, an even width: the median has two middle values. */
export function evenWidth(): Float32Array {
  return Float32Array.of(1, -2, 3, -4, 2, 0, -1, 8);
}

/** 3 x 3, an odd width. */
export function oddWidth(): Float32Array {
  return Float32Array.of(1, -2, 3, -4, 5, 6, 7, -8, -9);
}

export const cases: Case[] = [
  make('random, more rows than neurons', 48, 32, random(48, 32, 11)),
  make('random, fewer rows than neurons', 24, 40, random(24, 40, 12)),
  make('random, odd number of rows and neurons', 17, 129, random(17, 129, 13)),
  make('with outliers', 64, 48, withOutliers(64, 48)),
  make('with one outlier', 32, 64, withOutliers(32, 64, 14, 1)),
  make('rank collapsed', 48, 32, rankCollapsed(48, 32)),
  make('exactly rank one', 16, 24, exactlyRankOne(16, 24)),
  make('rank one of mixed lengths', 15, 24, rankOneOfMixedLengths(15, 24)),
  make('large offset', 40, 32, largeOffset(40, 32)),
  make('zeros', 8, 6, zeros(8, 6)),
  make('constant', 8, 6, constant(8, 6)),
  make('one row', 1, 32, oneRow(32)),
  make('one neuron', 32, 1, oneNeuron(32)),
  make('one value', 1, 1, constant(1, 1)),
  make('with NaN', 12, 16, withNaN(12, 16)),
  make('with Infinity', 12, 16, withInfinity(12, 16)),
  make('with -Infinity', 12, 16, withInfinity(12, 16, 10, Number.NEGATIVE_INFINITY)),
  ...[1e-20, 1e-10, 1e10, 1e20].flatMap((factor) => [
    make(`random times ${factor}`, 24, 32, scaled(random(24, 32, 15), factor)),
    make(`with outliers times ${factor}`, 24, 32, scaled(withOutliers(24, 32, 16), factor)),
  ]),
  make('even width', 2, 4, evenWidth()),
  make('odd width', 3, 3, oddWidth()),
];

function make(name: string, rows: number, width: number, data: Float32Array): Case {
  if (data.length !== rows * width) {
    throw new RangeError(`${name}: ${data.length} values are not ${rows} rows of ${width}`);
  }
  return { name, rows, width, data };
}

function fill(rows: number, width: number, value: (row: number, neuron: number) => number): Float32Array {
  const data = new Float32Array(rows * width);
  for (let row = 0; row < rows; row++) {
    for (let neuron = 0; neuron < width; neuron++) {
      data[row * width + neuron] = Math.fround(value(row, neuron));
    }
  }
  return data;
}

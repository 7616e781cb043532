// The tensors that every backend measures: those of test/reference, and larger ones of the sizes and shapes that layers have.
import {
  cases,
  constant,
  largeOffset,
  normal,
  random,
  rankCollapsed,
  scaled,
  withInfinity,
  withNaN,
  withOutliers,
} from '../reference/inputs.ts';
import type { Pass } from './parity-step.ts';

export interface ParityCase extends Pass {
  readonly name: string;
}

export const parityCases: readonly ParityCase[] = [
  ...cases.map(({ name, rows, width, data }) => made(name, [rows, width], data)),

  // Sizes: with more than 64 rows and with more than 512 some of them are looked at; most are no multiple of 64.
  sized('2048 x 128, random', [2048, 128], random(2048, 128, 31)),
  sized('2048 x 128, with outliers', [2048, 128], withOutliers(2048, 128, 32)),
  sized('300 x 768, random', [300, 768], random(300, 768, 33)),
  sized('300 x 768, with outliers', [300, 768], withOutliers(300, 768, 34)),
  sized('1031 x 96, rank collapsed', [1031, 96], rankCollapsed(1031, 96, 35)),
  sized('1000 x 50, large offset', [1000, 50], largeOffset(1000, 50, 36)),
  sized('513 x 65, one outlier', [513, 65], withOutliers(513, 65, 37, 1)),
  sized('65 x 7, random', [65, 7], random(65, 7, 38)),
  sized('129 x 130, massive activations', [129, 130], massive(129, 130)),
  sized('600 x 40, massive activations', [600, 40], massive(600, 40)),
  sized('5003 x 12, large offset', [5003, 12], largeOffset(5003, 12, 52)),
  sized('12 x 4099, large offset', [12, 4099], largeOffset(12, 4099, 53)),
  sized('64 x 64, one outlier of 1000', [64, 64], scaledNeuron(random(64, 64, 54), 64, 1000)),

  // Shapes: the last axis is the width.
  sized('[4, 9, 7, 24], convolutional', [4, 9, 7, 24], withOutliers(252, 24, 39)),
  sized('[16, 33, 48], recurrent', [16, 33, 48], withOutliers(528, 48, 40)),

  // Ranges of other number formats, as float32 holds them.
  made('bfloat16, with outliers', [200, 64], bfloat16(withOutliers(200, 64, 41))),
  made('bfloat16 times 1e-30', [200, 64], bfloat16(scaled(withOutliers(200, 64, 42), 1e-30))),
  made('float16 up to 65504', [200, 64], float16(scaled(random(200, 64, 43), 40_000))),
  made('float16, half of it subnormal', [200, 64], float16(scaled(random(200, 64, 44), 6e-5))),
  ...[1e-33, 1e-30, 1e-15, 1e15, 1e30, 1e38].map((factor) =>
    made(`random times ${factor}`, [70, 33], scaled(clipped(random(70, 33, 45)), factor)),
  ),

  // Degenerate.
  made('all 0.7', [130, 96], constant(130, 96, 0.7)),
  made('all -3e-12', [70, 33], constant(70, 33, -3e-12)),
  made('5003 x 4, all 0.7', [5003, 4], constant(5003, 4, 0.7)),
  made('4 x 5003, all 0.7', [4, 5003], constant(4, 5003, 0.7)),
  made('rows constant over the width', [130, 96], repeated(random(130, 1, 46), 96)),
  made(
    'more than half of each row 0',
    [100, 32],
    random(100, 32, 47).map((value) => Math.max(0, value - 1)),
  ),
  made('subnormal', [16, 24], scaled(random(16, 24, 48), 1e-41)),
  made('a NaN in a row that is not sampled', [300, 16], withNaN(300, 16, 49)),
  made(
    'an Infinity beside 1e20',
    [300, 16],
    withInfinity(300, 16, 50).map((value) => value * 1e20),
  ),
  made('all NaN', [12, 16], constant(12, 16, Number.NaN)),
];

/** The first row is 100 times larger and so is one neuron: what the first token does in many language models. */
export function massive(rows: number, width: number, seed = 51): Float32Array {
  const neuron = Math.floor(width / 3);
  return random(rows, width, seed).map(
    (value, index) => value * (index < width ? 100 : 1) * (index % width === neuron ? 100 : 1),
  );
}

function scaledNeuron(data: Float32Array, width: number, factor: number): Float32Array {
  return data.map((value, index) => (index % width === 1 ? value * factor : value));
}

function made(name: string, shape: readonly number[], data: Float32Array, gradient = data): ParityCase {
  return { name, shape, data, gradient };
}

function sized(name: string, shape: readonly number[], data: Float32Array): ParityCase {
  return { name, shape, data, gradient: gradientOf(data) };
}

/** Small and long-tailed, as gradients are. */
function gradientOf(data: Float32Array): Float32Array {
  const next = normal(data.length);
  return data.map(() => 1e-4 * next() ** 3);
}

function repeated(data: Float32Array, times: number): Float32Array {
  return Float32Array.from({ length: data.length * times }, (_, index) => data[Math.floor(index / times)] as number);
}

function clipped(data: Float32Array): Float32Array {
  return data.map((value) => Math.max(-3, Math.min(3, value)));
}

/** Cut to 8 bits of mantissa. */
function bfloat16(data: Float32Array): Float32Array {
  const bits = new Uint32Array(data.slice().buffer);
  return new Float32Array(bits.map((each) => each & 0xffff0000).buffer);
}

/** To the nearest float16, the largest being 65504: 11 bits of mantissa, and no step smaller than 2^-24. */
function float16(data: Float32Array): Float32Array {
  return data.map((value) => {
    const step = Math.max(2 ** -24, 2 ** (Math.floor(Math.log2(Math.abs(value))) - 10));
    return Math.max(-65504, Math.min(65504, Math.round(value / step) * step));
  });
}

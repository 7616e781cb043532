// Attention that every backend measures: weights and the logits that they are the softmax of, [batch, heads, queries, keys].
import { normal } from '../reference/inputs.ts';

export interface AttentionCase {
  readonly name: string;
  readonly shape: readonly number[];
  readonly weights: Float32Array;
  readonly logits: Float32Array;
}

export const attentionCases: readonly AttentionCase[] = [
  made('random', [2, 3, 20, 20], gaussian(2)),
  made('causal, masked by -1e9', [2, 2, 33, 33], causal(-1e9)),
  made('causal, masked by -Infinity', [2, 2, 33, 33], causal(Number.NEGATIVE_INFINITY)),
  made('sharp: nearly one-hot', [1, 4, 50, 65], gaussian(100)),
  made('one-hot', [4, 30, 16], (query, key) => (key === query % 16 ? 1e4 : 0)),
  made('uniform over 2000 keys', [3, 2000], () => -7),
  made('more than 1024 queries', [2, 4, 150, 150], gaussian(3)),
  made('rank 2', [7, 5], gaussian(1)),
  made('one key', [6, 1], gaussian(1)),
  made('logits of 1e20', [1, 1, 12, 12], gaussian(1e20)),
  made('logits of 1e-20', [1, 1, 12, 12], gaussian(1e-20)),
  made('all masked', [1, 2, 8, 8], () => -1e9),
  made('a NaN', [1, 2, 8, 8], (query, key) => (query === 3 && key === 5 ? Number.NaN : key)),
];

type Logit = (query: number, key: number) => number;

function made(name: string, shape: readonly number[], logit: Logit): AttentionCase {
  const [queries, keys] = shape.slice(-2) as [number, number];
  const count = shape.reduce((product, length) => product * length, 1) / keys;
  const logits = new Float32Array(count * keys);
  const weights = new Float32Array(count * keys);
  for (let row = 0; row < count; row++) {
    const place = row * keys;
    for (let key = 0; key < keys; key++) logits[place + key] = logit(row % queries, key);
    const some = logits.subarray(place, place + keys);
    const largest = Math.max(...some);
    const powers = Array.from(some, (value) => Math.exp(value - largest));
    const sum = powers.reduce((total, power) => total + power, 0);
    weights.set(
      powers.map((power) => power / sum),
      place,
    );
  }
  return { name, shape, weights, logits };
}

function gaussian(deviation: number): Logit {
  const next = normal(71);
  return () => deviation * next();
}

function causal(mask: number): Logit {
  const next = normal(72);
  return (query, key) => (key > query ? mask : next());
}

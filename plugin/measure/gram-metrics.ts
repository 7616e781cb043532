/** The metrics that a Gram matrix is needed for, from the sums of gram.ts, in float64. They are free of scale. */
import { gramPieceLengths, type Numbers, type Summary } from './layout.ts';

/** Of R [r, d]: |R R^T|_F^2 in all and without its diagonal, |R^T R|_F^2 without its diagonal, and sum R^2. */
export interface GramSums {
  readonly r: number;
  readonly d: number;
  readonly total: number;
  readonly inputs: number;
  readonly features: number;
  readonly trace: number;
}

export function gramSums({ gramRows: r, width: d, gram }: Summary): GramSums {
  const { shorter, longer, apart } = gramPieceLengths(r, d);
  let start = 0;
  const take = (length: number): Numbers => {
    start += length;
    return gram.subarray(start - length, start);
  };
  const smaller = sum(take(shorter));
  const normOfOthers = sum(take(shorter));
  const otherEnergies = take(longer);
  const longestEnergies = take(apart);
  const products = sum(take(apart));
  const larger = products + Math.max(0, normOfOthers - sumOfSquares(otherEnergies));
  return {
    r,
    d,
    total: products + normOfOthers + sumOfSquares(longestEnergies),
    inputs: r <= d ? smaller : larger,
    features: r <= d ? larger : smaller,
    trace: sum(otherEnergies) + sum(longestEnergies),
  };
}

export function inputCorrelationRms({ r, inputs, trace }: GramSums): number {
  return Math.sqrt(inputs / (r * (r - 1))) / (trace / r);
}

export function featureCorrelationRms({ d, features, trace }: GramSums): number {
  return Math.sqrt(features / (d * (d - 1))) / (trace / d);
}

export function effectiveRank({ total, trace }: GramSums): number {
  return trace ** 2 / total;
}

function sum(values: Numbers): number {
  let total = 0;
  for (const value of values) total += value;
  return total;
}

function sumOfSquares(values: Numbers): number {
  let total = 0;
  for (const value of values) total += value * value;
  return total;
}

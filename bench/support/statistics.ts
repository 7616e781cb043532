/** Statistics of interleaved measurements. Pure. */

/** Numbers in [0, 1). */
export type Random = () => number;

/** Middle value; the mean of both middle values where their number is even. NaN of nothing. */
export function median(values: readonly number[]): number {
  const sorted = values.toSorted((a, b) => a - b);
  const middle = sorted.length / 2;
  return ((sorted[Math.ceil(middle) - 1] ?? Number.NaN) + (sorted[Math.floor(middle)] ?? Number.NaN)) / 2;
}

export function sum(values: readonly number[]): number {
  return values.reduce((total, value) => total + value, 0);
}

/** One round of an interleaved measurement: every arm's value, taken within moments of each other. */
export type Round<Arm extends string, Value = number> = Readonly<Record<Arm, Value>>;

/** Ratio of an arm's total to another's: what a whole run takes longer. */
export function ratioOfTotals<Arm extends string>(
  arms: readonly Arm[],
  bases: readonly Arm[],
): (rounds: readonly Round<Arm>[]) => number {
  const total = (rounds: readonly Round<Arm>[], of: readonly Arm[]) =>
    sum(rounds.flatMap((round) => of.map((arm) => round[arm])));
  return (rounds) => total(rounds, arms) / total(rounds, bases);
}

/** Median of the rounds' own ratios: whatever slows a whole round down, a neighbour for instance, cancels. */
export function medianRatio<Arm extends string>(arm: Arm, base: Arm): (rounds: readonly Round<Arm>[]) => number {
  return (rounds) => median(rounds.map((round) => round[arm] / round[base]));
}

export type Interval = readonly [low: number, high: number];

/** 95 % confidence interval of a statistic: percentile bootstrap over whole rounds (Efron and Tibshirani, 1993, chapter 13). */
export function bootstrapInterval<Sample>(
  samples: readonly Sample[],
  statistic: (samples: readonly Sample[]) => number,
  random: Random,
  resamples = 4000,
): Interval {
  const values = Float64Array.from({ length: resamples }, () =>
    statistic(samples.map(() => samples[Math.floor(random() * samples.length)] as Sample)),
  ).sort();
  const at = (fraction: number) => values[Math.round(fraction * (resamples - 1))] ?? Number.NaN;
  return [at(0.025), at(0.975)];
}

/** A shuffled copy (Fisher and Yates). */
export function shuffled<Item>(items: readonly Item[], random: Random): Item[] {
  const copy = [...items];
  for (let last = copy.length - 1; last > 0; last--) {
    const other = Math.floor(random() * (last + 1));
    [copy[last], copy[other]] = [copy[other] as Item, copy[last] as Item];
  }
  return copy;
}

/** How a metric's values map to positions and colours: logarithmic where ratios count, linear where the metric has a fixed range. Pure. */
import type { Value } from './types.ts';

/** `counts` is logarithmic from 0 on: log(1 + value). */
export type ScaleKind = 'log' | 'linear' | 'counts';

export interface Scale {
  readonly kind: ScaleKind;
  readonly from: number;
  readonly to: number;
}

/** The scale kind of a metric, by its name and unit in the catalogue. */
export function scaleKindOf(metric: string, unit: string | undefined): ScaleKind {
  if (metric.includes('correlation')) return 'linear';
  if (unit === 'values' || unit === 'neurons') return 'counts';
  return 'log';
}

/**
 * The colour scale of a metric over its values. The ends are round, so that the colours do not shift with every live frame, and far
 * enough apart that noise looks like noise.
 */
export function colourScale(metric: string, unit: string | undefined, values: Iterable<Value>): Scale {
  const kind = scaleKindOf(metric, unit);
  let [least, most] = [Number.POSITIVE_INFINITY, Number.NEGATIVE_INFINITY];
  for (const value of values) {
    if (value === null || !Number.isFinite(value) || (kind === 'log' && value <= 0)) continue;
    least = Math.min(least, value);
    most = Math.max(most, value);
  }
  if (kind === 'linear') return { kind, from: least < -0.05 ? -1 : 0, to: 1 };
  if (kind === 'counts') return { kind, from: 0, to: Math.max(10, roundUp(most)) };
  if (most < least) return { kind, from: 1, to: 10 };
  const from = metric.startsWith('kurtosis') || metric.endsWith('ratio') ? Math.min(1, least) : roundDown(least);
  return { kind, from, to: Math.max(roundUp(most), from * 2) };
}

/** Where a finite value lies on a scale, 0 to 1. */
export function positionOf({ kind, from, to }: Scale, value: number): number {
  const bend = bendOf(kind);
  const position = (bend(value) - bend(from)) / (bend(to) - bend(from));
  return Number.isNaN(position) ? 0 : Math.min(1, Math.max(0, position));
}

/** The value at a position of a scale, 0 to 1. */
export function valueAt({ kind, from, to }: Scale, position: number): number {
  const bend = bendOf(kind);
  const bent = bend(from) + position * (bend(to) - bend(from));
  return kind === 'log' ? Math.exp(bent) : kind === 'counts' ? Math.expm1(bent) : bent;
}

function bendOf(kind: ScaleKind): (value: number) => number {
  // Below the smallest positive number a logarithm has nothing to say; positionOf clamps it to the start of the scale.
  if (kind === 'log') return (value) => Math.log(Math.max(value, Number.MIN_VALUE));
  return kind === 'counts' ? (value) => Math.log1p(Math.max(value, 0)) : (value) => value;
}

const roundSteps = [1, 1.2, 1.5, 2, 3, 4, 5, 6, 8, 10];
const tickSteps = [[1, 1.2, 1.5, 2, 2.5, 3, 4, 5, 6, 8], [1, 1.5, 2, 3, 5, 7], [1, 2, 5], [1, 3], [1]];

function roundUp(value: number): number {
  const magnitude = 10 ** Math.floor(Math.log10(value));
  const step = roundSteps.find((candidate) => candidate * magnitude >= value * (1 - 1e-9)) ?? 10;
  return tidy(step * magnitude);
}

function roundDown(value: number): number {
  const magnitude = 10 ** Math.floor(Math.log10(value));
  const step = roundSteps.findLast((candidate) => candidate * magnitude <= value * (1 + 1e-9)) ?? 1;
  return tidy(step * magnitude);
}

/** Round values within a scale, at most `most` of them. */
export function ticksOf(scale: Scale, most: number): number[] {
  if (scale.kind === 'linear') return linearTicks(scale, most);
  const from = scale.kind === 'counts' ? 1 : scale.from;
  const zero = scale.kind === 'counts' ? [0] : [];
  for (const steps of tickSteps) {
    const ticks = [
      ...zero,
      ...decades(from, scale.to)
        .flatMap((decade) => steps.map((step) => tidy(step * decade)))
        .filter(within(from, scale.to)),
    ];
    if (ticks.length <= most) return ticks.length >= 2 ? ticks : linearTicks(scale, most);
  }
  const powers = decades(from, scale.to).filter(within(from, scale.to));
  const every = Math.ceil(powers.length / Math.max(1, most));
  return powers.filter((_, index) => index % every === 0);
}

function linearTicks({ from, to }: Scale, most: number): number[] {
  const rough = (to - from) / Math.max(1, most - 1);
  if (!(rough > 0)) return [from];
  const magnitude = 10 ** Math.floor(Math.log10(rough));
  const step = ([1, 2, 2.5, 5, 10].find((candidate) => candidate * magnitude >= rough * (1 - 1e-9)) ?? 10) * magnitude;
  const ticks: number[] = [];
  for (let index = Math.ceil(from / step - 1e-9); index * step <= to + step * 1e-9; index++)
    ticks.push(tidy(index * step));
  return ticks;
}

function decades(from: number, to: number): number[] {
  const first = Math.floor(Math.log10(from));
  const last = Math.floor(Math.log10(to));
  return Array.from({ length: Math.max(0, last - first + 1) }, (_, index) => 10 ** (first + index));
}

const within = (from: number, to: number) => (value: number) => value >= from * (1 - 1e-9) && value <= to * (1 + 1e-9);

/** Without the digits that binary fractions add: 0.30000000000000004 becomes 0.3. */
function tidy(value: number): number {
  return Number(value.toPrecision(12));
}

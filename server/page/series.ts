/** One metric of one run over its steps, as the page holds it, and how live frames extend it. Pure. */
import type { FrameView, SeriesAnswer, Value, WireNumber } from './types.ts';

export interface Series {
  readonly metric: string;
  readonly steps: readonly number[];
  readonly sites: readonly string[];
  /** By site, then by index into `steps`. */
  readonly values: readonly (readonly Value[])[];
  readonly scalars: Readonly<Record<string, readonly Value[]>>;
}

/** A number from the wire; anything that is none reads as "not measured". */
export function toValue(wire: WireNumber | undefined): Value {
  if (typeof wire === 'number') return wire;
  if (wire === 'NaN') return Number.NaN;
  if (wire === 'Infinity') return Number.POSITIVE_INFINITY;
  if (wire === '-Infinity') return Number.NEGATIVE_INFINITY;
  return null;
}

export function toSeries(answer: SeriesAnswer): Series {
  return {
    metric: answer.metric,
    steps: answer.steps,
    sites: answer.sites,
    values: answer.values.map((row) => row.map(toValue)),
    scalars: Object.fromEntries(Object.entries(answer.scalars).map(([name, row]) => [name, row.map(toValue)])),
  };
}

/** What a live frame is to a viewer that has seen everything up to a sequence number. */
export type Admission = 'append' | 'duplicate' | 'gap';

/** The server skips frames for a viewer that is too slow, so a jump in the sequence means: read the series again. */
export function admit(lastSequence: number, sequence: number): Admission {
  if (sequence <= lastSequence) return 'duplicate';
  return sequence === lastSequence + 1 ? 'append' : 'gap';
}

/**
 * The series with a frame at its end, or undefined when it does not fit there: its step lies before the end (the trainer resumed from
 * an earlier checkpoint) or it knows other sites. A frame of the last step replaces that step.
 */
export function withFrame(series: Series, frame: FrameView): Series | undefined {
  const column = frame.values[series.metric];
  const last = series.steps.at(-1) ?? Number.NEGATIVE_INFINITY;
  if (column === undefined || column.length !== series.sites.length || frame.step < last) return undefined;
  const keep = frame.step === last ? series.steps.length - 1 : series.steps.length;
  const extend = <Item>(row: readonly Item[], item: Item): Item[] => [...row.slice(0, keep), item];
  return {
    ...series,
    steps: extend(series.steps, frame.step),
    values: series.values.map((row, site) => extend(row, toValue(column[site]))),
    scalars: Object.fromEntries(
      Object.entries(series.scalars).map(([name, row]) => [name, extend(row, toValue(frame.scalars[name]))]),
    ),
  };
}

/** The index of the step closest to a position on the step axis; -1 without steps. */
export function closestIndex(steps: readonly number[], position: number): number {
  let low = 0;
  let high = steps.length - 1;
  while (low < high) {
    const middle = (low + high) >> 1;
    if ((steps[middle] as number) < position) low = middle + 1;
    else high = middle;
  }
  const before = steps[low - 1];
  const after = steps[low];
  return before !== undefined && after !== undefined && position - before <= after - position
    ? low - 1
    : low < steps.length
      ? low
      : -1;
}

/** Whether the first of two values is worse news than the second; what is not finite is the worst of all, what is not measured no news. */
export function isWorse(candidate: Value, than: Value, worse: 'higher' | 'lower' | 'either'): boolean {
  if (candidate === null) return false;
  if (than === null) return true;
  if (!Number.isFinite(than)) return false;
  if (!Number.isFinite(candidate)) return true;
  return worse === 'lower' ? candidate < than : candidate > than;
}

/** The ends of the step axis: the first and the last step with half a step of room, so that the heatmap's outer columns are whole. */
export function stepDomain(steps: readonly number[]): readonly [from: number, to: number] {
  const [first, second] = steps;
  const last = steps.at(-1);
  if (first === undefined || last === undefined) return [0, 1];
  if (second === undefined) return [first - 0.5, last + 0.5];
  return [first - (second - first) / 2, last + (last - (steps.at(-2) as number)) / 2];
}

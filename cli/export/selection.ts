/** What of a run is exported: columns, each a metric at a site or a scalar, and sites. Pure. */
import type { RunDescription } from '../../server/run-record.ts';
import { OutlierscopeError } from '../../src/errors.ts';
import { type Frame, isMeasured, noNeuron } from '../../src/frame.ts';

export interface Filter {
  /** Names of metrics and scalars; undefined: all. */
  readonly metrics?: readonly string[] | undefined;
  /** Names of sites, in which * stands for anything; undefined: all. */
  readonly sites?: readonly string[] | undefined;
}

export interface Selection {
  /** Scalars first, then site by site. */
  readonly columns: readonly Column[];
  /** Whose top neurons are exported. */
  readonly sites: readonly SelectedSite[];
}

/** Where a number is found in every frame. */
export interface Column {
  /** Null for a scalar. */
  readonly site: string | null;
  readonly metric: string;
  readonly array: 'scalars' | 'values';
  readonly offset: number;
}

export interface SelectedSite {
  readonly name: string;
  /** Its row. */
  readonly index: number;
}

/** @throws OutlierscopeError `no-metric` or `no-site`, which list what the run has. */
export function select({ sites, metrics, scalars }: RunDescription, filter: Filter): Selection {
  const names = sites.map(({ name }) => name);
  for (const name of filter.metrics ?? []) {
    if (!metrics.includes(name) && !scalars.includes(name)) throw unknown('metric', name, [...metrics, ...scalars]);
  }
  const patterns = filter.sites?.map((text) => {
    const pattern = wildcard(text);
    if (!names.some((name) => pattern.test(name))) throw unknown('site', text, names);
    return pattern;
  });
  const named = (name: string): boolean => filter.metrics?.includes(name) ?? false;
  const chosen = names
    .map((name, index) => ({ name, index }))
    .filter(({ name }) => patterns?.some((pattern) => pattern.test(name)) ?? true);
  const columns = scalars
    .map((metric, offset): Column => ({ site: null, metric, array: 'scalars', offset }))
    // Who asks for sites or for metrics wants no scalars beside them, unless by name.
    .filter(({ metric }) => (filter.metrics === undefined && patterns === undefined) || named(metric));
  for (const { name, index } of chosen) {
    for (const [column, metric] of metrics.entries()) {
      if (filter.metrics !== undefined && !named(metric)) continue;
      columns.push({ site: name, metric, array: 'values', offset: index * metrics.length + column });
    }
  }
  return { columns, sites: chosen };
}

/** Calls `visit` for every number of the columns that the frame measured. */
export function forEachMeasured(
  frame: Frame,
  columns: readonly Column[],
  visit: (value: number, position: number) => void,
): void {
  for (let position = 0; position < columns.length; position++) {
    const { array, offset } = columns[position] as Column;
    const numbers = frame[array];
    if (isMeasured(numbers, offset)) visit(numbers[offset] as number, position);
  }
}

export interface RankedNeuron {
  readonly neuron: number;
  /** Of the site's energy. */
  readonly share: number;
}

/** The top neurons of a site, largest share first. */
export function topNeuronsOf({ topNeurons: { count, indices, shares } }: Frame, site: number): RankedNeuron[] {
  const found: RankedNeuron[] = [];
  for (let entry = site * count; entry < (site + 1) * count; entry++) {
    const neuron = indices[entry] ?? noNeuron;
    const share = shares[entry] ?? Number.NaN;
    if (neuron !== noNeuron && Number.isFinite(share)) found.push({ neuron, share });
  }
  return found;
}

function wildcard(text: string): RegExp {
  const literal = (part: string): string => part.replace(/[\\^$.*+?()[\]{}|/]/g, '\\$&');
  return new RegExp(`^${text.split('*').map(literal).join('.*')}$`, 'su');
}

function unknown(what: 'metric' | 'site', name: string, known: readonly string[]): OutlierscopeError {
  const most = 50;
  const list = [...known.slice(0, most), ...(known.length > most ? [`and ${known.length - most} more`] : [])];
  return new OutlierscopeError(`the run has no ${what} ${JSON.stringify(name)}; it has ${list.join(', ') || 'none'}`, {
    code: `no-${what}`,
    hint: what === 'site' ? 'give the name of one; * stands for anything' : 'give one of these',
  });
}

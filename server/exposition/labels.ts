/** The label sets of runs as bytes, ready to be copied into a scrape: made once for each description of a run. Pure. */
import { frameScalars } from '../../src/catalogue.ts';
import type { Rule } from '../../src/rules.ts';
import type { RunDescription, RunState } from '../run-record.ts';

/** Label sets, each with its braces and the space before the value. An array of its own for each, as that is copied fastest. */
export type LabelSets = readonly Uint8Array[];

/** What a run's series are called. */
export interface RunLabels {
  readonly run: LabelSets;
  readonly info: LabelSets;
  /** In the order of `runStates`. */
  readonly states: LabelSets;
  readonly sites: LabelSets;
  /** In the order of `userScalarsOf`. */
  readonly userScalars: LabelSets;
  /** In the order of the rules. */
  readonly alerts: LabelSets;
}

export const runStates = ['connected', 'silent', 'finished', 'failed'] as const satisfies readonly RunState[];

/** What of a run's tags and config becomes labels of its info series: few, bounded, and alike for all runs. */
const infoLabels = ['backend', 'host', 'model', 'group', 'rank'] as const;

export function labelsOf(id: string, description: RunDescription, rules: readonly Rule[]): RunLabels {
  const run = ['run', id] as const;
  const { name, sites, scalars } = description;
  return {
    run: labelSets([[run]]),
    info: labelSets([[run, ['name', name], ...infoOf(description)]]),
    states: labelSets(runStates.map((state) => [run, ['state', state]])),
    sites: labelSets(sites.map((site) => [run, ['site', site.name]])),
    userScalars: labelSets(userScalarsOf(scalars).map(({ scalar }) => [run, ['name', scalar]])),
    alerts: labelSets(rules.map((rule) => [run, ['alert', rule.name], ['severity', rule.severity]])),
  };
}

const catalogued: ReadonlySet<string> = new Set(frameScalars.map((scalar) => scalar.name));

/** The scalars that are not the catalogue's, and their places in frames. */
export function userScalarsOf(scalars: readonly string[]): { readonly scalar: string; readonly column: number }[] {
  return scalars.flatMap((scalar, column) => (catalogued.has(scalar) ? [] : [{ scalar, column }]));
}

function infoOf({ tags, config }: RunDescription): Label[] {
  const known = { ...config, ...tags };
  return infoLabels.flatMap((name): Label[] => {
    const value = known[name];
    return value === undefined || value === null ? [] : [[name, String(value)]];
  });
}

type Label = readonly [name: string, value: string];

export function labelSets(sets: readonly (readonly Label[])[]): LabelSets {
  return sets.map((labels) => Buffer.from(labelText(labels)));
}

/** The label set with the space that comes before the value; the space alone where there are no labels. */
function labelText(labels: readonly Label[]): string {
  const inner = labels.map(([name, value]) => `${name}="${escapeText(value)}"`).join(',');
  return inner === '' ? ' ' : `{${inner}} `;
}

const escapes: Readonly<Record<string, string>> = { '\\': '\\\\', '"': '\\"', '\n': '\\n' };

/** Escapes backslash, double quote and newline, the three that both formats ask for; half surrogates, which are no Unicode, give way. */
export function escapeText(value: string): string {
  return value.replace(/[\\"\n]/g, (character) => escapes[character] ?? character).replace(/\p{Surrogate}/gu, '\ufffd');
}

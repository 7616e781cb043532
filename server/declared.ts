/** The lists of names that a run's frames are made of: they grow by declares and must agree over reconnections. Pure. */
import { OutlierscopeError } from '../src/errors.ts';
import { type Declare, type Hello, limits, type Site } from '../src/messages.ts';

/**
 * The hello's lists with a declare's additions.
 * @throws OutlierscopeError (`run-conflict`) for names that repeat, are not Unicode text, or are more than the limits allow.
 */
export function withDeclared(hello: Hello, declare: Pick<Declare, 'sites' | 'scalars'>): Hello {
  const sites = [...hello.sites, ...declare.sites];
  const scalars = [...hello.scalars, ...declare.scalars];
  checkNames(
    'sites',
    sites.map((site) => site.name),
    limits.sites,
  );
  checkNames('scalars', scalars, limits.scalars);
  return { ...hello, sites, scalars };
}

function checkNames(what: string, names: readonly string[], most: number): void {
  if (names.length > most) throw conflict(`${names.length} ${what} are more than the ${most} that a run may have`);
  const seen = new Set<string>();
  for (const name of names) {
    // Both would make two Prometheus series one: a scrape with a repeated series is refused as a whole.
    if (seen.has(name)) throw conflict(`two ${what} are named ${JSON.stringify(name)}`);
    if (/\p{Surrogate}/u.test(name)) throw conflict(`the name ${JSON.stringify(name)} is not well-formed Unicode`);
    seen.add(name);
  }
}

/** A trainer that resumes may know fewer sites than were stored, or more: the longer list holds, and they must agree as far as both go. */
export function mergeSites(stored: readonly Site[], offered: readonly Site[]): readonly Site[] {
  for (const [index, site] of offered.entries()) {
    const before = stored[index];
    if (before !== undefined && before.name !== site.name) {
      throw conflict(`site ${index} of this run is ${JSON.stringify(before.name)}, not ${JSON.stringify(site.name)}`);
    }
  }
  return offered.length >= stored.length ? offered : [...offered, ...stored.slice(offered.length)];
}

export function mergeScalars(stored: readonly string[], offered: readonly string[]): readonly string[] {
  for (const [index, name] of offered.entries()) {
    const before = stored[index];
    if (before !== undefined && before !== name) {
      throw conflict(`scalar ${index} of this run is ${JSON.stringify(before)}, not ${JSON.stringify(name)}`);
    }
  }
  return offered.length >= stored.length ? offered : stored;
}

export function sameNames(one: readonly string[], other: readonly string[]): boolean {
  return one.length === other.length && one.every((name, index) => name === other[index]);
}

export function conflict(what: string): OutlierscopeError {
  return new OutlierscopeError(what, { code: 'run-conflict', hint: 'names are fixed for a run: start a new run id' });
}

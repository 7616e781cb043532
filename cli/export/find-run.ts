/** Which run is meant by an id, a name, or the beginning of either. Pure. */
import type { RunRecord } from '../../server/run-record.ts';
import { OutlierscopeError } from '../../src/errors.ts';

/** Runs that an error lists at most: those that began last. */
const mostListed = 20;

/**
 * The run of that id; else the only one of that name; else the only one whose id or name begins so.
 * @throws OutlierscopeError `no-run` or `ambiguous-run`, which list the runs there are, the one that began last first.
 */
export function findRun(runs: readonly RunRecord[], wanted: string): RunRecord {
  const tries: ((run: RunRecord) => boolean)[] = [
    ({ id }) => id === wanted,
    ({ description }) => description.name === wanted,
    ({ id, description }) => id.startsWith(wanted) || description.name.startsWith(wanted),
  ];
  for (const fits of tries) {
    const found = runs.filter(fits);
    if (found.length > 1) {
      throw new OutlierscopeError(`${found.length} runs are meant by ${JSON.stringify(wanted)}:\n${listOf(found)}\n`, {
        code: 'ambiguous-run',
        hint: 'give more of the id',
      });
    }
    if (found[0] !== undefined) return found[0];
  }
  throw new OutlierscopeError(
    `no run has the id or name ${JSON.stringify(wanted)}, or one that begins so. ${runs.length === 0 ? 'The database holds no runs' : `There are:\n${listOf(runs)}\n`}`,
    { code: 'no-run', hint: 'give the id or name of a run, or its beginning' },
  );
}

function listOf(runs: readonly RunRecord[]): string {
  const lines = runs
    .toReversed()
    .slice(0, mostListed)
    .map(({ id, description, progress }) => `  ${id}  ${printable(description.name)}  ${progress.frames} frames`);
  if (runs.length > mostListed) lines.push(`  and ${runs.length - mostListed} that began earlier`);
  return lines.join('\n');
}

/** A name may hold anything, the control sequences of a terminal too. */
export function printable(text: string): string {
  return text.replace(
    /\p{Cc}|\p{Cf}/gu,
    (character) => `\\u${(character.codePointAt(0) ?? 0).toString(16).padStart(4, '0')}`,
  );
}

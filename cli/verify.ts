/** `outlierscope verify`: checks and tells. */
import { openReadOnlyStore } from '../server/read-only-store.ts';
import type { RunVerification, Verification } from '../server/verify.ts';
import { verifyDatabase } from '../server/verify.ts';
import { findRun, printable } from './export/find-run.ts';
import { createProgress, type ProgressStep } from './progress.ts';

/** Checks a database, or one run of it. @throws OutlierscopeError for a database or run that is not to be had. */
export async function runVerify(database: string, wanted: string | undefined): Promise<Verification> {
  const runId = wanted === undefined ? undefined : await idOf(database, wanted);
  const progress = createProgress(process.stderr, process.env);
  let step: ProgressStep | undefined;
  let doing: string | undefined;
  const verification = await verifyDatabase(database, {
    runId,
    progress(what, done, total) {
      if (what !== doing) {
        step?.done();
        step = progress.step(what === 'file' ? `checking ${database}` : 'checking frames');
        doing = what;
      }
      step?.update(done / Math.max(done, total, 1), `${done} of ${Math.max(done, total)}`);
    },
  });
  step?.done();
  return verification;
}

async function idOf(database: string, wanted: string): Promise<string> {
  const store = openReadOnlyStore(database);
  try {
    return findRun(await store.runs(), wanted).id;
  } finally {
    await store.close();
  }
}

/** For a person. */
export function inWords({ sound, problems, runs }: Verification): string {
  const frames = runs.reduce((sum, run) => sum + run.frames, 0);
  return [
    ...problems.map((problem) => `PROBLEM: ${problem}`),
    ...runs.flatMap(runInWords),
    `${sound ? 'sound' : 'NOT SOUND'}: ${counted(runs.length, 'run')}, ${counted(frames, 'frame')}`,
  ].join('\n');
}

function runInWords({
  id,
  name,
  state,
  frames,
  lastSequence,
  expired,
  gaps,
  missing,
  dropped,
  problems,
}: RunVerification): string[] {
  const last = lastSequence < 0 ? '' : `, the last ${lastSequence}`;
  const lines = [`${id} (${printable(name)}, ${state}): ${counted(frames, 'frame')}${last}`];
  if (expired > 0) lines.push(`  ${counted(expired, 'frame')} before them expired`);
  if (missing > 0 || dropped > 0) {
    const list = gaps.map(({ from, to }) => (from === to ? `${from}` : `${from} to ${to}`)).slice(0, 10);
    const more = gaps.length > list.length ? ', ...' : '';
    const where = list.length > 0 ? `: ${list.join(', ')}${more}` : '';
    lines.push(`  missing ${missing}${where}; the trainer said it dropped ${dropped}`);
  }
  return [...lines, ...problems.map((problem) => `  PROBLEM: ${problem}`)];
}

function counted(number: number, what: string): string {
  return `${number} ${what}${number === 1 ? '' : 's'}`;
}

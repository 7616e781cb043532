/** What a run may be, beyond the bounds that the protocol has: this server's own limits. */
import type { Hello } from '../src/messages.ts';
import { createBucket } from './access/rate.ts';
import type { ServerLimits } from './limits.ts';
import { Refusal, type RefusalReason } from './refusals.ts';
import type { RunRegistry } from './runs.ts';

type Limits = Pick<ServerLimits, 'sites' | 'metrics' | 'scalars' | 'nameLength' | 'descriptionBytes'>;

/**
 * Holds a hello, with what was declared since, to the limits. To connect again would not help, so the code is a final one.
 * @throws Refusal `tooLarge`
 */
export function checkRunLimits(hello: Hello, limits: Limits): void {
  for (const what of ['sites', 'metrics', 'scalars'] as const) {
    const found = hello[what].length;
    if (found > limits[what]) throw tooLarge(what, `${found} ${what} are more than the ${limits[what]} that it takes`);
  }
  const names = [
    hello.runName,
    ...hello.sites.map((site) => site.name),
    ...hello.metrics,
    ...hello.scalars,
    ...Object.keys(hello.tags),
    ...Object.keys(hello.config),
  ];
  const long = names.find((name) => name.length > limits.nameLength);
  if (long !== undefined) {
    const shown = JSON.stringify(long.slice(0, 20));
    throw tooLarge('name_length', `the name ${shown}… has ${long.length} of at most ${limits.nameLength} characters`);
  }
  const bytes = Buffer.byteLength(JSON.stringify([hello.tags, hello.config]));
  if (bytes > limits.descriptionBytes)
    throw tooLarge('description_size', `tags and config have ${bytes} of at most ${limits.descriptionBytes} bytes`);
}

function tooLarge(reason: RefusalReason, text: string): Refusal {
  return new Refusal('tooLarge', reason, `beyond a limit of this server: ${text}`);
}

/**
 * Lets runs begin, or throws. Runs that are known may always go on. Room comes with time, as runs are deleted, so the trainer is told to
 * come back.
 */
export type AdmitRun = (runId: string) => void;

/** @throws Refusal `overloaded` */
export function createRunAdmission(
  runs: Pick<RunRegistry, 'get' | 'newestFirst'>,
  { runs: most, runsPerHour }: Pick<ServerLimits, 'runs' | 'runsPerHour'>,
): AdmitRun {
  const hourly = createBucket({ perSecond: runsPerHour / 3600, burst: runsPerHour });
  /** Let in, but not in the registry before their hello is durable. */
  const coming = new Set<string>();
  return (runId) => {
    if (runs.get(runId) !== undefined || coming.has(runId)) return;
    for (const each of coming) if (runs.get(each) !== undefined) coming.delete(each);
    const known = runs.newestFirst().length + coming.size;
    if (known >= most)
      throw new Refusal('overloaded', 'runs', `the server keeps as many runs as it takes (${most}, limit runs)`);
    const wait = hourly.wait(1);
    if (wait > 0) {
      const text = `more than ${runsPerHour} new runs in an hour (limit runsPerHour): again in ${Math.ceil(wait / 1000)} s`;
      throw new Refusal('overloaded', 'runs_per_hour', text);
    }
    hourly.take(1);
    coming.add(runId);
    // One whose hello the store did not take is not coming.
    setTimeout(() => coming.delete(runId), comingMilliseconds).unref();
  };
}

const comingMilliseconds = 60_000;

/** `outlierscope import`: takes recordings into a server. */
import { Command, InvalidArgumentError, Option } from 'commander';
import { OutlierscopeError } from '../../src/errors.ts';
import type { ImportReport } from '../import/run.ts';

const HELP = `
A recording is what the monitor's option record writes. A file that a crash cut off is taken in up to there. Importing a file
again does no harm: frames that the server has are not stored twice.

Example:
  $ outlierscope import run.olr --url ws://127.0.0.1:9877
`;

interface Flags {
  readonly url: string;
  readonly token?: string;
  readonly json?: true;
}

export function importCommand(): Command {
  return new Command('import')
    .description('take recordings of runs into a server')
    .argument('<files...>', "files that the monitor's option record wrote")
    .addOption(
      new Option('--url <address>', 'the server')
        .env('OUTLIERSCOPE_URL')
        .argParser(toAddress)
        .default('ws://127.0.0.1:9877'),
    )
    .addOption(new Option('--token <secret>', 'what the server asks for').env('OUTLIERSCOPE_TOKEN'))
    .option('--json', 'print JSON instead of text')
    .addHelpText('after', HELP)
    .action(run);
}

async function run(files: string[], { url, token, json }: Flags): Promise<void> {
  const { importRecordings } = await import('../import/run.ts');
  const { createProgress } = await import('../progress.ts');
  try {
    const progress = createProgress(process.stderr, process.env);
    const report = await importRecordings({ files, url, token, progress });
    process.stdout.write(json ? `${JSON.stringify(report)}\n` : inWords(report));
    for (const { message } of report.failures) process.stderr.write(`outlierscope import: ${message}\n`);
    if (report.failures.length > 0) process.exitCode = 1;
  } catch (error) {
    if (!(error instanceof OutlierscopeError)) throw error;
    process.stderr.write(`outlierscope import: ${error.message}\n`);
    process.exitCode = 1;
  }
}

function inWords({ runs, skippedBytes, skippedRecords }: ImportReport): string {
  const lines = runs.map(
    ({ run, frames, taken, already, outcome }) =>
      `${run}: ${taken} of ${frames} frames taken in, ${already} were there; ${outcome ?? 'its end is not recorded'}`,
  );
  if (skippedBytes > 0) lines.push(`skipped: ${skippedBytes} bytes that are cut off or damaged`);
  if (skippedRecords > 0) lines.push(`skipped: ${skippedRecords} records that say nothing sensible`);
  return lines.map((line) => `${line}\n`).join('');
}

function toAddress(text: string): string {
  const address = URL.canParse(text) ? new URL(text) : undefined;
  if (address === undefined || !/^(ws|http)s?:$/.test(address.protocol))
    throw new InvalidArgumentError('must be an address such as ws://127.0.0.1:9877');
  return text.replace(/^http/, 'ws');
}

/** `outlierscope export`: a stored run for other programs. */
import { Command, InvalidArgumentError, Option } from 'commander';
import { OutlierscopeError } from '../../src/errors.ts';

const HELP = `
RUN is the id of a run, its name, or the beginning of either. The server may go on meanwhile; frames that arrive after the start
are left out. Nothing is written to the database.

csv and parquet are tables of one row for each measured number: run, sequence, step, time, site, metric, value. jsonl holds all of a
run, a line for each frame. tensorboard is a folder for tensorboard --logdir. With a folder as output, csv and parquet write
top_neurons and alerts beside values. docs/export.md has the columns.

Examples:
  $ outlierscope export "my model" --output run.csv
  $ outlierscope export my-model-0a1b --metric kurtosis loss --from 1000 | head
  $ outlierscope export my-model-0a1b --format parquet --output tables/
  $ outlierscope export my-model-0a1b --format tensorboard --output logs && tensorboard --logdir logs
`;

interface Flags {
  readonly format: 'csv' | 'jsonl' | 'parquet' | 'tensorboard';
  readonly database: string;
  readonly output: string;
  readonly metric?: string[];
  readonly site?: string[];
  readonly from: number;
  readonly to?: number;
}

/** The command; it loads the formats only when it runs. */
export function exportCommand(): Command {
  return new Command('export')
    .description('write a stored run as CSV, JSON Lines, Parquet, or for TensorBoard')
    .argument('<run>', 'id or name of a run, or its beginning')
    .addOption(
      new Option('--format <name>', 'csv, jsonl, parquet or tensorboard')
        .choices(['csv', 'jsonl', 'parquet', 'tensorboard'])
        .default('csv'),
    )
    .addOption(
      new Option('--database <file>', "the server's database").env('OUTLIERSCOPE_DATABASE').default('outlierscope.db'),
    )
    .option('--output <path>', 'a file, a folder (ends with /, or is there), or - for standard output', '-')
    .option('--metric <names...>', 'only these metrics and scalars')
    .option('--site <patterns...>', 'only these sites; * stands for anything')
    .addOption(new Option('--from <step>', 'first training step').argParser(toStep).default(0))
    .addOption(new Option('--to <step>', 'last training step').argParser(toStep))
    .addHelpText('after', HELP)
    .action(run);
}

async function run(runName: string, { metric, site, to = Number.MAX_SAFE_INTEGER, ...flags }: Flags): Promise<void> {
  const { runExport } = await import('../export/run.ts');
  const interruption = new AbortController();
  const interrupt = (signal: NodeJS.Signals): void => interruption.abort(signal);
  // A pipe leaves nothing to clean up, and holds the process while nobody reads it: signals end that as ever.
  const handled = flags.output === '-' ? [] : (['SIGINT', 'SIGTERM'] as const);
  for (const signal of handled) process.once(signal, interrupt);
  try {
    const filter = { metrics: metric, sites: site };
    await runExport({ ...flags, run: runName, to, filter, signal: interruption.signal });
  } catch (error) {
    if (interruption.signal.aborted) {
      process.exitCode = interruption.signal.reason === 'SIGINT' ? 130 : 143;
    } else if (error instanceof OutlierscopeError) {
      process.stderr.write(`outlierscope export: ${error.message}\n`);
      process.exitCode = 1;
    } else throw error;
  } finally {
    for (const signal of handled) process.off(signal, interrupt);
  }
}

function toStep(text: string): number {
  if (!/^\d{1,15}$/.test(text)) throw new InvalidArgumentError('must be a whole number from 0 on');
  return Number(text);
}

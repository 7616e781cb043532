/** `outlierscope verify`: whether a database is sound. */
import { Command, Option } from 'commander';
import { OutlierscopeError } from '../../src/errors.ts';

const HELP = `
Checks that SQLite finds the file whole, that every frame can be read and fits its run, that none is there twice, and that the runs'
counts agree with their frames; lists what is missing. Reads only; the server may run meanwhile. RUN is an id, a name, or the
beginning of either; with it only that run's frames are checked.

Exit codes: 0 sound, 1 not sound, 2 could not be checked. Missing frames alone are no fault: a trainer may have dropped them.

Examples:
  $ outlierscope verify
  $ outlierscope verify my-model-0a1b --database runs.db --json
`;

interface Flags {
  readonly database: string;
  readonly json?: true;
}

/** The command; it loads the store only when it runs. */
export function verifyCommand(): Command {
  return new Command('verify')
    .description('check a database: every frame readable, none twice, counts that agree')
    .argument('[run]', 'id or name of a run, or its beginning')
    .addOption(
      new Option('--database <file>', "the server's database").env('OUTLIERSCOPE_DATABASE').default('outlierscope.db'),
    )
    .option('--json', 'print one line of JSON instead of text')
    .addHelpText('after', HELP)
    .action(run);
}

async function run(wanted: string | undefined, { database, json }: Flags): Promise<void> {
  const { runVerify, inWords } = await import('../verify.ts');
  try {
    const verification = await runVerify(database, wanted);
    process.stdout.write(`${json ? JSON.stringify(verification) : inWords(verification)}\n`);
    process.exitCode = verification.sound ? 0 : 1;
  } catch (error) {
    if (!(error instanceof OutlierscopeError)) throw error;
    process.stderr.write(`outlierscope verify: ${error.message}\n`);
    process.exitCode = 2;
  }
}

/** `outlierscope analyze`: what a saved model does on given data, without training it. */
import { Command, Option } from 'commander';
import { metricGroups } from '../../src/catalogue.ts';
import { OutlierscopeError } from '../../src/errors.ts';

const HELP = `
The data is a JSON file: nested lists of numbers in the shape of the model's input (a list of such lists for a model of
several inputs). All rows are measured as one batch. Nothing is trained and nothing is sent anywhere.

Examples:
  $ outlierscope analyze saved/model.json --data batch.json
  $ outlierscope analyze saved/model.json --data batch.json --sites residual h0_attention --metrics full --json
`;

interface Flags {
  readonly data: string;
  readonly sites?: string[];
  readonly metrics: (typeof metricGroups)[number];
  readonly classes: string[];
  readonly backend: 'auto' | 'tensorflow' | 'wasm' | 'cpu';
  readonly json?: true;
}

/** The command; it loads TensorFlow.js only when it runs. */
export function analyzeCommand(): Command {
  return new Command('analyze')
    .description('measure a saved model on given data, without training it')
    .argument('<model>', 'the model.json that model.save wrote')
    .requiredOption('--data <file>', 'inputs as JSON')
    .option('--sites <names...>', 'kinds, names or paths of layers (default: the residual stream)')
    .addOption(new Option('--metrics <group>', 'how much is measured').choices([...metricGroups]).default('full'))
    .option('--classes <modules...>', 'modules that register custom layers', [])
    .addOption(
      new Option('--backend <name>', 'what to run it on')
        .choices(['auto', 'tensorflow', 'wasm', 'cpu'])
        .default('auto'),
    )
    .option('--json', 'print JSON instead of a table')
    .addHelpText('after', HELP)
    .action(run);
}

async function run(model: string, { data, sites, metrics, classes, backend, json }: Flags): Promise<void> {
  const { runAnalyze, inWords } = await import('../analyze/run.ts');
  try {
    const options = { metrics, ...(sites !== undefined && { sites }) };
    const analysis = await runAnalyze({ model, data, classes, backend, options });
    process.stdout.write(`${json ? JSON.stringify(analysis, replaceNonfinite) : inWords(analysis)}\n`);
  } catch (error) {
    if (!(error instanceof OutlierscopeError)) throw error;
    process.stderr.write(`outlierscope analyze: ${error.message}\n`);
    process.exitCode = 1;
  }
}

/** JSON has no NaN and no infinity: they go as strings, not as null. */
function replaceNonfinite(_key: string, value: unknown): unknown {
  return typeof value === 'number' && !Number.isFinite(value) ? String(value) : value;
}

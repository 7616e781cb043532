/** `outlierscope demo`: a real training with outliers to watch, from nothing to a summary. */
import { Command, InvalidArgumentError, Option } from 'commander';
import { messageOf } from '../../src/errors.ts';

const HELP = `
It sets up the native TensorFlow backend if it can (see outlierscope setup-native --help), starts a server with a
database of its own that is gone afterwards, and trains a Pre-Norm GPT of 1.7 million parameters on the source code of
TensorFlow.js, at a learning rate at which outlier features grow within a hundred steps. Without a native backend a
smaller model trains on WebAssembly or plain JavaScript.

Examples:
  $ outlierscope demo
  $ outlierscope demo --steps 150 --json
`;

interface Flags {
  readonly steps: number;
  readonly backend: 'auto' | 'tensorflow' | 'wasm' | 'cpu';
  readonly port: number;
  readonly seed: number;
  readonly json?: true;
  readonly exit?: true;
}

/** The command; it loads TensorFlow.js only when it runs. */
export function demoCommand(): Command {
  return new Command('demo')
    .description('train a small GPT and watch its outlier features grow, live')
    .option('--steps <number>', 'training steps; the schedule does not depend on it', wholeNumber(1), 300)
    .addOption(
      new Option('--backend <name>', 'what to train on').choices(['auto', 'tensorflow', 'wasm', 'cpu']).default('auto'),
    )
    .option('--port <number>', "the page's port; any free one when it is taken", wholeNumber(0, 65_535), 9877)
    .option('--seed <number>', 'for the initial weights and the order of the text', wholeNumber(0, 1_000_000), 1)
    .option('--json', 'unattended: progress on stderr, one JSON line last on stdout, then the end')
    .option('--exit', 'end after the summary instead of keeping the page up until Ctrl-C')
    .addHelpText('after', HELP)
    .action(demo);
}

async function demo({ steps, backend, port, seed, json, exit }: Flags): Promise<void> {
  const interruption = new AbortController();
  const interrupt = (): void => {
    // A second signal ends the process at once.
    for (const signal of signals) process.off(signal, interrupt);
    interruption.abort();
  };
  for (const signal of signals) process.on(signal, interrupt);
  try {
    const { runDemo } = await import('../demo/run.ts');
    const summary = await runDemo({
      steps,
      backend,
      port,
      seed,
      output: json ? 'json' : 'text',
      after: json || exit || !process.stdout.isTTY ? 'exit' : 'wait',
      signal: interruption.signal,
    });
    if (json) process.stdout.write(`${JSON.stringify(summary)}\n`);
  } catch (error) {
    process.stderr.write(`outlierscope demo: ${explain(error)}\n`);
    process.exitCode = 1;
  } finally {
    for (const signal of signals) process.off(signal, interrupt);
  }
}

const signals = ['SIGINT', 'SIGTERM'] as const;

function explain(error: unknown): string {
  const { code } = error as { code?: string };
  if (code === 'ERR_MODULE_NOT_FOUND' && messageOf(error).includes('@tensorflow')) {
    return `TensorFlow.js is not installed here: npm install @tensorflow/tfjs (${messageOf(error)})`;
  }
  return error instanceof Error ? (error.stack ?? error.message) : String(error);
}

function wholeNumber(least: number, most: number = Number.MAX_SAFE_INTEGER): (text: string) => number {
  return (text) => {
    const value = Number(text);
    if (!/^\d+$/.test(text) || value < least || value > most) {
      throw new InvalidArgumentError(
        `must be a whole number from ${least}${most === Number.MAX_SAFE_INTEGER ? ' on' : ` to ${most}`}`,
      );
    }
    return value;
  };
}

/** `outlierscope serve`: options, then environment, then defaults; runs until it is told to stop. */
import { Command, InvalidArgumentError, Option } from 'commander';
import type { ServerOptions } from '../../server/options.ts';
import { OutlierscopeError } from '../../src/errors.ts';

interface Flags {
  readonly host?: string;
  readonly port?: number;
  readonly database?: string;
  readonly token?: string;
  readonly allowOrigin: readonly string[];
  readonly insecure?: boolean;
  readonly retentionDays?: number;
  readonly retentionBytes?: number;
}

/** The command; it loads the server only when it runs. */
export function serveCommand(): Command {
  return new Command('serve')
    .description(
      'Run the server: takes frames from trainers, stores them, raises alerts, serves the live page and /metrics.',
    )
    .addOption(new Option('--host <address>', 'address to listen on (default: 127.0.0.1)').env('OUTLIERSCOPE_HOST'))
    .addOption(
      new Option('--port <number>', 'port to listen on, 0 for any (default: 9877)')
        .env('OUTLIERSCOPE_PORT')
        .argParser(toPort),
    )
    .addOption(new Option('--database <file>', 'database file (default: outlierscope.db)').env('OUTLIERSCOPE_DATABASE'))
    .addOption(
      new Option('--token <secret>', 'what trainers and viewers must show; better set by the variable').env(
        'OUTLIERSCOPE_TOKEN',
      ),
    )
    .addOption(
      new Option('--allow-origin <origin>', 'origin of a page or proxy that may connect; may be repeated')
        .argParser(collect)
        .default([], 'none'),
    )
    .option('--insecure', 'listen beyond loopback without a token')
    .addOption(
      new Option('--retention-days <number>', 'days that frames are kept; roll-ups stay (default: for ever)')
        .env('OUTLIERSCOPE_RETENTION_DAYS')
        .argParser(toAmount),
    )
    .addOption(
      new Option('--retention-bytes <number>', 'bytes of frames kept of each run; roll-ups stay (default: all)')
        .env('OUTLIERSCOPE_RETENTION_BYTES')
        .argParser(toAmount),
    )
    .action(serve);
}

async function serve({ allowOrigin, ...flags }: Flags): Promise<void> {
  const { startServer } = await import('../../server/index.ts');
  const options: ServerOptions = { ...flags, allowedOrigins: allowOrigin };
  const server = await startServer(options).catch((error: unknown) => {
    if (!(error instanceof OutlierscopeError)) throw error;
    process.stderr.write(`outlierscope serve: ${error.message}\n`);
    process.exit(1);
  });
  process.stdout.write(`outlierscope serves ${server.url}\n`);

  const stop = (): void => {
    // A second signal ends the process at once.
    for (const signal of signals) process.off(signal, stop);
    server.close().then(
      () => process.exit(0),
      (error: unknown) => {
        process.stderr.write(`outlierscope serve: stopping failed: ${String(error)}\n`);
        process.exit(1);
      },
    );
  };
  for (const signal of signals) process.on(signal, stop);
}

const signals = ['SIGINT', 'SIGTERM'] as const;

function toPort(text: string): number {
  if (!/^\d{1,5}$/.test(text) || Number(text) > 65_535)
    throw new InvalidArgumentError('must be a number from 0 to 65535');
  return Number(text);
}

function toAmount(text: string): number {
  if (!/^\d+(\.\d+)?$/.test(text) || Number(text) === 0) throw new InvalidArgumentError('must be a number above 0');
  return Number(text);
}

function collect(value: string, before: readonly string[]): readonly string[] {
  return [...before, value];
}

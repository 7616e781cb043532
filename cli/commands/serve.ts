/** `outlierscope serve`: options, then environment, then defaults; runs until it is told to stop. */
import { Command, InvalidArgumentError, Option } from 'commander';
import type { AccessToken, Rule, RunningServer } from '../../server/index.ts';
import { messageOf, OutlierscopeError } from '../../src/errors.ts';
import { addRemoteWriteFlags, endpointsOf, type RemoteWriteFlags } from '../remote-write-flags.ts';
import { readRulesFile } from '../rules-file.ts';
import { readTokensFile } from '../tokens-file.ts';

interface Flags extends RemoteWriteFlags {
  readonly host?: string;
  readonly port?: number;
  readonly database?: string;
  readonly token?: string;
  readonly tokensFile?: string;
  readonly rules?: string;
  readonly tlsCertificate?: string;
  readonly tlsKey?: string;
  readonly allowOrigin: readonly string[];
  readonly trustedProxy: readonly string[];
  readonly limit: Readonly<Record<string, number>>;
  readonly insecure?: boolean;
  readonly finishedGraceSeconds?: number;
  readonly kurtosisWindowSeconds?: number;
  readonly retentionDays?: number;
  readonly retentionBytes?: number;
}

const afterHelp = `
Beyond loopback a token is asked for. In a file, "chmod 600", each has a name, the secret itself and its scopes:

  [{ "name": "gpu-box",    "token": "…", "scopes": ["ingest"] },   trainers: OUTLIERSCOPE_TOKEN in their environment
   { "name": "prometheus", "token": "…", "scopes": ["read"] },     /metrics, the API, the page
   { "name": "operator",   "token": "…", "scopes": ["admin"] }]    what read may, and changing things

A good secret: openssl rand -base64 32. SIGHUP reads that file, the rules and the certificate again.

  outlierscope serve
  outlierscope serve --host 0.0.0.0 --tokens-file tokens.json --tls-certificate fullchain.pem --tls-key privkey.pem
  outlierscope serve --limit runs=5000 --limit requestsPerSecond=50

The limits and their defaults:

  frameBytes=16777216, textBytes=1048576, messagesPerSecond=10000, bytesPerSecond=134217728,
  sites=4096, metrics=256, scalars=256, nameLength=256, descriptionBytes=65536, runs=20000,
  runsPerHour=10000, connections=8192, connectionsPerAddress=2048, trainers=4096, viewers=256,
  unannouncedBytes=67108864, requestsPerSecond=200, headerBytes=16384, headerSeconds=10,
  requestSeconds=30, scrapes=8, runSeries=100000, scrapeSeries=1000000, failedSignInsPerMinute=10,
  sessions=1000, sessionSeconds=43200

What each is for: docs/options.md; what is refused, and how to run behind a proxy: docs/security.md.`;

/** The command; it loads the server only when it runs. */
export function serveCommand(): Command {
  const command = new Command('serve')
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
      new Option('--token <secret>', 'one token that may do everything; better set by the variable').env(
        'OUTLIERSCOPE_TOKEN',
      ),
    )
    .addOption(new Option('--tokens-file <file>', 'JSON list of tokens, see below').env('OUTLIERSCOPE_TOKENS_FILE'))
    .addOption(
      new Option('--rules <file>', 'JSON list of alert rules (default: KurtosisHigh)').env('OUTLIERSCOPE_RULES'),
    )
    .addOption(
      new Option('--tls-certificate <file>', 'certificate chain in PEM format: https and wss').env(
        'OUTLIERSCOPE_TLS_CERTIFICATE',
      ),
    )
    .addOption(new Option('--tls-key <file>', 'its private key in PEM format').env('OUTLIERSCOPE_TLS_KEY'))
    .addOption(
      new Option('--allow-origin <origin>', 'origin of a page or proxy that may connect; may be repeated')
        .argParser(collect)
        .default([], 'none'),
    )
    .addOption(
      new Option('--trusted-proxy <address>', 'proxy whose X-Forwarded-For is believed; may be repeated')
        .argParser(collect)
        .default([], 'none'),
    )
    .addOption(
      new Option('--limit <name=number>', 'a limit other than its default; may be repeated, or a list with commas')
        .env('OUTLIERSCOPE_LIMITS')
        .argParser(collectLimits)
        .default({}, 'see below'),
    )
    .option('--insecure', 'listen beyond loopback without a token')
    .addOption(
      new Option('--finished-grace-seconds <number>', 'how long a run stays in /metrics after its end (default: 300)')
        .env('OUTLIERSCOPE_FINISHED_GRACE_SECONDS')
        .argParser(toSeconds),
    )
    .addOption(
      new Option('--kurtosis-window-seconds <number>', 'over which /metrics shows the largest kurtosis (default: 60)')
        .env('OUTLIERSCOPE_KURTOSIS_WINDOW_SECONDS')
        .argParser(toSeconds),
    )
    .addOption(
      new Option('--retention-days <number>', 'days that frames are kept; roll-ups stay (default: for ever)')
        .env('OUTLIERSCOPE_RETENTION_DAYS')
        .argParser(toAmount),
    )
    .addOption(
      new Option('--retention-bytes <number>', 'bytes of frames kept of each run; roll-ups stay (default: all)')
        .env('OUTLIERSCOPE_RETENTION_BYTES')
        .argParser(toAmount),
    );
  return addRemoteWriteFlags(command).addHelpText('after', afterHelp).action(serve);
}

async function serve(flags: Flags): Promise<void> {
  const { startServer } = await import('../../server/index.ts');
  const { tlsCertificate: certificate, tlsKey: key, tokensFile, rules: rulesFile, token, insecure } = flags;
  const readTokens = (): AccessToken[] =>
    tokensFile === undefined ? [] : (readTokensFile(tokensFile, complain) as AccessToken[]);
  // As the file has them: the server checks them.
  const readRules = (file: string): Rule[] => readRulesFile(file) as Rule[];

  const start = async (): Promise<RunningServer> => {
    if ((certificate === undefined) !== (key === undefined)) {
      const [given, missing] = key === undefined ? ['certificate', 'key'] : ['key', 'certificate'];
      const hint = `give the file of the ${missing} too, or neither`;
      throw new OutlierscopeError(`--tls-${given} without --tls-${missing}`, { code: 'invalid-options', hint });
    }
    return startServer({
      ...pick(flags, ['host', 'port', 'database', 'insecure', 'retentionDays', 'retentionBytes']),
      ...pick(flags, ['finishedGraceSeconds', 'kurtosisWindowSeconds']),
      remoteWrite: endpointsOf(flags),
      tokens: readTokens(),
      token,
      ...(rulesFile === undefined ? {} : { rules: readRules(rulesFile) }),
      allowedOrigins: flags.allowOrigin,
      trustedProxies: flags.trustedProxy,
      limits: flags.limit,
      tls: certificate === undefined || key === undefined ? undefined : { certificate, key },
    });
  };
  const server = await start().catch((error: unknown) => {
    if (!(error instanceof OutlierscopeError)) throw error;
    complain(error.message);
    process.exit(1);
  });
  process.stdout.write(`outlierscope serves ${server.url}\n`);
  if (insecure && tokensFile === undefined && token === undefined)
    complain('without a token: whoever reaches this port may read and write');

  // Without anything to read again a hang-up ends the process, as that of a terminal should.
  if (tokensFile !== undefined || certificate !== undefined || rulesFile !== undefined) {
    process.on('SIGHUP', () => {
      try {
        server.reload({
          ...(tokensFile === undefined ? {} : { tokens: readTokens() }),
          ...(rulesFile === undefined ? {} : { rules: readRules(rulesFile) }),
        });
        process.stdout.write('outlierscope serve: tokens, rules and certificate read again\n');
      } catch (error) {
        complain(`${messageOf(error)}; all stays as it was`);
      }
    });
  }

  const stop = (): void => {
    // A second signal ends the process at once.
    for (const signal of signals) process.off(signal, stop);
    server.close().then(
      () => process.exit(0),
      (error: unknown) => {
        complain(`stopping failed: ${String(error)}`);
        process.exit(1);
      },
    );
  };
  for (const signal of signals) process.on(signal, stop);
}

const signals = ['SIGINT', 'SIGTERM'] as const;

function complain(message: string): void {
  process.stderr.write(`outlierscope serve: ${message}\n`);
}

/** Those of the flags that were given. */
function pick<Key extends keyof Flags>(flags: Flags, names: readonly Key[]): Pick<Flags, Key> {
  return Object.fromEntries(
    names.filter((name) => flags[name] !== undefined).map((name) => [name, flags[name]]),
  ) as Pick<Flags, Key>;
}

function toPort(text: string): number {
  if (!/^\d{1,5}$/.test(text) || Number(text) > 65_535)
    throw new InvalidArgumentError('must be a number from 0 to 65535');
  return Number(text);
}

function toAmount(text: string): number {
  if (!/^\d+(\.\d+)?$/.test(text) || Number(text) === 0) throw new InvalidArgumentError('must be a number above 0');
  return Number(text);
}

function toSeconds(text: string): number {
  if (!/^\d+(\.\d+)?$/.test(text)) throw new InvalidArgumentError('must be a number from 0 on');
  return Number(text);
}

function collect(value: string, before: readonly string[]): readonly string[] {
  return [...before, value];
}

/** The names are the server's to check. */
function collectLimits(text: string, before: Readonly<Record<string, number>>): Readonly<Record<string, number>> {
  const limits = { ...before };
  for (const part of text.split(',')) {
    const [, name, value] = /^\s*(\w+)=(\d{1,15})\s*$/.exec(part) ?? [];
    if (name === undefined) throw new InvalidArgumentError('must be NAME=NUMBER, such as runs=5000');
    limits[name] = Number(value);
  }
  return limits;
}

/** The flags of `outlierscope serve` that say where samples are forwarded to. The server checks what they hold. */
import { type Command, InvalidArgumentError, Option } from 'commander';
import type { RemoteWriteEndpoint } from '../server/index.ts';
import { OutlierscopeError } from '../src/errors.ts';

export interface RemoteWriteFlags {
  readonly remoteWrite?: string;
  readonly remoteWriteToken?: string;
  readonly remoteWriteTokenFile?: string;
  readonly remoteWriteUser?: string;
  readonly remoteWritePassword?: string;
  readonly remoteWritePasswordFile?: string;
  readonly remoteWriteLabel: Readonly<Record<string, string>>;
  readonly remoteWriteShards?: number;
  readonly remoteWriteBatch?: number;
  readonly remoteWriteTimeout?: number;
  readonly remoteWriteRetry?: number;
}

export function addRemoteWriteFlags(command: Command): Command {
  const option = (flags: string, variable: string, description: string): Option =>
    new Option(`--remote-write${flags}`, description).env(`OUTLIERSCOPE_REMOTE_WRITE_${variable}`);
  return command
    .addOption(option(' <url>', 'URL', 'receiver of Prometheus remote write that gets every sample (default: none)'))
    .addOption(option('-token <secret>', 'TOKEN', 'bearer token for it; better set by the variable'))
    .addOption(option('-token-file <file>', 'TOKEN_FILE', 'file that holds the token instead'))
    .addOption(option('-user <name>', 'USER', 'user of basic authentication'))
    .addOption(option('-password <secret>', 'PASSWORD', 'password of that user; better set by the variable'))
    .addOption(option('-password-file <file>', 'PASSWORD_FILE', 'file that holds the password instead'))
    .addOption(
      option('-label <name=value>', 'LABELS', 'label for every series; may be repeated, or a list with commas')
        .argParser(collectLabels)
        .default({}, 'none'),
    )
    .addOption(option('-shards <number>', 'SHARDS', 'connections at once (default: 4)').argParser(toNumber))
    .addOption(option('-batch <number>', 'BATCH', 'samples of a request, about (default: 2000)').argParser(toNumber))
    .addOption(option('-timeout <seconds>', 'TIMEOUT', 'longest wait for an answer (default: 30)').argParser(toNumber))
    .addOption(option('-retry <seconds>', 'RETRY', 'longest wait between two tries (default: 30)').argParser(toNumber));
}

/** The receivers that the flags name: one, or none. @throws OutlierscopeError `invalid-options` for the others without an address. */
export function endpointsOf(flags: RemoteWriteFlags): readonly RemoteWriteEndpoint[] {
  const url = flags.remoteWrite;
  const others = {
    token: flags.remoteWriteToken,
    tokenFile: flags.remoteWriteTokenFile,
    user: flags.remoteWriteUser,
    password: flags.remoteWritePassword,
    passwordFile: flags.remoteWritePasswordFile,
    shards: flags.remoteWriteShards,
    batchSamples: flags.remoteWriteBatch,
    timeoutSeconds: flags.remoteWriteTimeout,
    maxRetrySeconds: flags.remoteWriteRetry,
  };
  const given = Object.fromEntries(Object.entries(others).filter(([, value]) => value !== undefined));
  const externalLabels = flags.remoteWriteLabel;
  if (url !== undefined) return [{ ...given, url, externalLabels }];
  if (Object.keys(given).length === 0 && Object.keys(externalLabels).length === 0) return [];
  throw new OutlierscopeError('flags of remote write without the receiver', {
    code: 'invalid-options',
    hint: 'give its address with --remote-write, or none of them',
  });
}

function collectLabels(text: string, before: Readonly<Record<string, string>>): Readonly<Record<string, string>> {
  const labels = { ...before };
  for (const part of text.split(',')) {
    const [, name, value] = /^\s*(\w+)=(.+?)\s*$/.exec(part) ?? [];
    if (name === undefined || value === undefined)
      throw new InvalidArgumentError('must be NAME=VALUE, such as cluster=west');
    labels[name] = value;
  }
  return labels;
}

function toNumber(text: string): number {
  if (!/^\d+(\.\d+)?$/.test(text)) throw new InvalidArgumentError('must be a number');
  return Number(text);
}

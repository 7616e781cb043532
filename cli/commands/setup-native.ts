/** `outlierscope setup-native`: the native backend, from what is there or built in the cache. */
import { homedir } from 'node:os';
import { join } from 'node:path';
import { Command } from 'commander';
import { cacheRoot, nativeCache, TENSORFLOW_VERSION, TFJS_NODE_VERSION } from '../native/cache.ts';
import { NativeSetupError } from '../native/failure.ts';
import { type SetupResult, setupNative } from '../native/setup.ts';
import { createProgress } from '../progress.ts';

const HELP = `
What it does, in this order:
  1. A @tensorflow/tfjs-node-gpu or @tensorflow/tfjs-node of the project in the working directory that loads and
     multiplies is left alone, and the command ends.
  2. So is an earlier build in the cache.
  3. Otherwise it downloads TensorFlow ${TENSORFLOW_VERSION} with pip (274 MB), installs tfjs-node ${TFJS_NODE_VERSION} in the cache with npm, and
     compiles its addon: about 40 s and 1.2 GB of disk. Needs Linux, Node 20 or 22, and pip, g++ and make.

The cache is $OUTLIERSCOPE_CACHE, else $XDG_CACHE_HOME/outlierscope, else ~/.cache/outlierscope. Delete it at will.
Nothing is written to your project.

Examples:
  $ outlierscope setup-native
  $ OUTLIERSCOPE_CACHE=/big-disk/outlierscope outlierscope setup-native --force`;

interface Options {
  force?: true;
  json?: true;
}

export function setupNativeCommand(): Command {
  return new Command('setup-native')
    .description('set up the native TensorFlow backend (tfjs-node), about ten times as fast as WebAssembly')
    .option('--force', 'build in the cache even when a copy that works is there')
    .option('--json', 'end with one line of JSON on stdout; progress goes to stderr')
    .addHelpText('after', HELP)
    .action(run);
}

async function run(options: Options): Promise<void> {
  const interruption = new AbortController();
  const interrupt = (signal: NodeJS.Signals): void => interruption.abort(signal);
  for (const signal of ['SIGINT', 'SIGTERM'] as const) process.on(signal, interrupt);
  try {
    const result = await setupNative({
      workingDirectory: process.cwd(),
      cache: nativeCache(cacheRoot(process.env, homedir())),
      mode: options.force ? 'rebuild' : 'reuse',
      environment: process.env,
      progress: createProgress(options.json ? process.stderr : process.stdout, process.env),
      signal: interruption.signal,
    });
    console.log(options.json ? JSON.stringify(result) : inWords(result));
  } catch (error) {
    if (interruption.signal.aborted) {
      console.error('Interrupted. Nothing half-built is left; run `outlierscope setup-native` again to go on.');
      process.exitCode = interruption.signal.reason === 'SIGINT' ? 130 : 143;
    } else if (error instanceof NativeSetupError) {
      console.error(`\n${error.message}`);
      process.exitCode = 1;
    } else {
      throw error;
    }
  } finally {
    for (const signal of ['SIGINT', 'SIGTERM'] as const) process.off(signal, interrupt);
  }
}

function inWords({ status, source, path, tensorflow, seconds }: SetupResult): string {
  const place = source === 'project' ? 'in your project' : 'in the cache';
  const outcome =
    status === 'built' ? `built ${place} in ${seconds} s` : `found ${place}, nothing to do (${seconds} s)`;
  return [
    `The native backend works: TensorFlow ${tensorflow}, ${outcome}.`,
    `  ${path}`,
    ...(source === 'cache'
      ? [
          'outlierscope finds it there. Your own program can load it in place of tfjs-node:',
          `  const tf = require('${join(path, 'dist', 'index.js')}');`,
        ]
      : []),
  ].join('\n');
}

/** Chooses what a command computes on: native if it can be had, else WebAssembly, else plain JavaScript. */
import { homedir } from 'node:os';
import * as tf from '@tensorflow/tfjs-core';
import { messageOf, OutlierscopeError } from '../src/errors.ts';
import { cacheRoot, nativeCache } from './native/cache.ts';
import { loadNative } from './native/load.ts';
import { setupNative } from './native/setup.ts';
import type { Progress } from './progress.ts';

export type BackendChoice = 'auto' | 'tensorflow' | 'wasm' | 'cpu';

export interface BackendContext {
  readonly progress: Progress;
  readonly signal: AbortSignal;
  /** Whether a native backend may be built where there is none yet. */
  readonly setup: 'allowed' | 'never';
}

/** Makes a backend the current one and returns its name. @throws OutlierscopeError when the one asked for cannot be had. */
export async function chooseBackend(choice: BackendChoice, context: BackendContext): Promise<string> {
  if (choice === 'auto' || choice === 'tensorflow') {
    try {
      return await nativeBackend(context);
    } catch (error) {
      if (choice === 'tensorflow' || context.signal.aborted) throw error;
      context.progress.note(
        `No native backend: ${messageOf(error)}\nWhat follows runs on WebAssembly or plain JavaScript, slower.\n`,
      );
    }
  }
  for (const name of choice === 'auto' ? (['wasm', 'cpu'] as const) : [choice as 'wasm' | 'cpu']) {
    if (await portableBackend(name)) return name;
  }
  throw new OutlierscopeError('no TensorFlow.js backend is installed', {
    code: 'no-backend',
    hint: 'npm install @tensorflow/tfjs-backend-wasm, or run outlierscope setup-native',
  });
}

async function nativeBackend({ progress, signal, setup }: BackendContext): Promise<string> {
  const environment = process.env;
  const cache = nativeCache(cacheRoot(environment, homedir()));
  if (setup === 'allowed')
    await setupNative({ workingDirectory: process.cwd(), cache, mode: 'reuse', environment, progress, signal });
  const native = await loadNative();
  if (native === undefined) throw new Error('none is set up, or it does not load: outlierscope setup-native');
  progress.note(`TensorFlow ${native.tensorflowVersion} from ${native.path}`);
  return tf.getBackend();
}

async function portableBackend(name: 'wasm' | 'cpu'): Promise<boolean> {
  try {
    // Variables keep TypeScript and bundlers from asking for packages that need not be there.
    const packages = { wasm: '@tensorflow/tfjs-backend-wasm', cpu: '@tensorflow/tfjs-backend-cpu' };
    await import(packages[name]);
    return await tf.setBackend(name);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ERR_MODULE_NOT_FOUND') return false;
    throw error;
  }
}

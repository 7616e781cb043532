/**
 * The package as users run it: what is measured comes from dist. (tsx would compile the sources with a helper around every
 * function, which takes time of its own.)
 */
import { existsSync } from 'node:fs';
import { createRequire } from 'node:module';
import type * as TfjsNode from '@tensorflow/tfjs-core';
import type { Callback } from '@tensorflow/tfjs-layers';
import type { NativeBackend } from '../../cli/native/load.ts';

/** A module of the built package, by its path below dist. */
export async function built<Module>(path: string): Promise<Module> {
  const url = new URL(`../../dist/${path}`, import.meta.url);
  if (!existsSync(url)) throw new Error(`dist/${path} is not there. Build the package first: npm run build`);
  return (await import(url.href)) as Module;
}

/** Makes native TensorFlow the backend of this process. */
export async function startNative(): Promise<NativeBackend> {
  const { loadNative } = await built<typeof import('../../cli/native/load.ts')>('cli/native/load.js');
  const native = await loadNative();
  if (native === undefined) throw new Error('Native TensorFlow is not there. Set it up: npx outlierscope setup-native');
  return native;
}

/** tfjs-node's own part of TensorFlow.js. */
interface NodeNamespace {
  tensorBoard(logDirectory: string, options: { updateFreq: 'batch' | 'epoch'; histogramFreq: number }): Callback;
}

export function tfjsNode(native: NativeBackend): NodeNamespace {
  const require = createRequire(import.meta.url);
  return (require(native.path) as typeof TfjsNode & { node: NodeNamespace }).node;
}

/** Looks for a tfjs-node that is there already. Finding says nothing about whether it loads: that is check.ts. */
import { createRequire } from 'node:module';
import { dirname, join } from 'node:path';
import { type NativeCache, packageIn } from './cache.ts';
import { readMarker } from './marker.ts';

export interface NativeCopy {
  /** `project`: resolved from the working directory, as the user's own program would. `cache`: built by setup-native. */
  readonly source: 'project' | 'cache';
  readonly name: string;
  /** The package's directory. */
  readonly path: string;
}

/** The GPU package first: who installed it wants it. */
const PACKAGES = ['@tensorflow/tfjs-node-gpu', '@tensorflow/tfjs-node'] as const;

export function projectCopies(workingDirectory: string): NativeCopy[] {
  const { resolve } = createRequire(join(workingDirectory, 'package.json'));
  return PACKAGES.flatMap((name) => {
    try {
      return [{ source: 'project', name, path: dirname(resolve(`${name}/package.json`)) } satisfies NativeCopy];
    } catch {
      return [];
    }
  });
}

/** The cache's build, and the TensorFlow version that it reported when it passed its check. */
export function cachedCopy(cache: NativeCache): (NativeCopy & { readonly tensorflow: string }) | undefined {
  const marker = readMarker(cache.build);
  if (marker === undefined) return undefined;
  const { tensorflow } = marker;
  return { source: 'cache', name: '@tensorflow/tfjs-node', path: packageIn(cache.build), tensorflow };
}

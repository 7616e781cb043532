/** Loads the native backend into this process, for the commands that train. */
import { createRequire } from 'node:module';
import { homedir } from 'node:os';
import { cacheRoot, nativeCache } from './cache.ts';
import { checkNative, quietEnvironment } from './check.ts';
import { cachedCopy, projectCopies } from './find.ts';
import { whyNodeCannotRun } from './platform.ts';

export interface NativeBackend {
  /** `project`: the working directory's own tfjs-node. `cache`: what setup-native built. */
  readonly source: 'project' | 'cache';
  /** The package's directory. */
  readonly path: string;
  readonly tensorflowVersion: string;
}

type Core = Pick<typeof import('@tensorflow/tfjs-core'), 'env' | 'getBackend' | 'ready' | 'setBackend'>;

/**
 * Makes `tensorflow` the backend of every copy of TensorFlow.js in this process (they share one engine), from the
 * working directory's tfjs-node-gpu or tfjs-node, else from the cache. Resolves to undefined when there is none that works.
 */
export async function loadNative(workingDirectory: string = process.cwd()): Promise<NativeBackend | undefined> {
  if (whyNodeCannotRun(process.versions.node) !== undefined) return undefined;
  const found = await findWorking(workingDirectory);
  if (found === undefined) return undefined;

  // The library reads these once, when it is loaded.
  Object.assign(process.env, quietEnvironment(process.env));
  const tf = requireQuietly(found.path);
  if (!(await tf.setBackend('tensorflow'))) {
    throw new Error(
      `The native backend at ${found.path} was loaded but did not start. Build it again: outlierscope setup-native --force`,
    );
  }
  await tf.ready();
  const seen = ownCore()?.getBackend() ?? 'tensorflow';
  if (seen !== 'tensorflow') {
    throw new Error(
      `The native backend at ${found.path} was loaded, but the backend here is '${seen}': TensorFlow.js is there twice ` +
        'with engines that do not know each other. Install one version of it: npm dedupe',
    );
  }
  return found;
}

async function findWorking(workingDirectory: string): Promise<NativeBackend | undefined> {
  for (const { source, path } of projectCopies(workingDirectory)) {
    const check = await checkNative(path, process.env);
    if (check.works) return { source, path, tensorflowVersion: check.tensorflow };
  }
  // No check: the marker says that this build passed it, and that its files are still as they were.
  const cached = cachedCopy(nativeCache(cacheRoot(process.env, homedir())));
  return cached && { source: cached.source, path: cached.path, tensorflowVersion: cached.tensorflow };
}

/**
 * Loading a second copy of TensorFlow.js makes it warn about its platform and about each kernel that both copies bring;
 * its own flag PROD silences that, and is put back afterwards because it silences other warnings too.
 */
function requireQuietly(path: string): Core {
  const require = createRequire(import.meta.url);
  // Before the native copy, so that the flag exists by the time there is something to be quiet about.
  const core = ownCore();
  if (core === undefined) return require(path) as Core;
  const before = core.env().getBool('PROD');
  core.env().set('PROD', true);
  try {
    return require(path) as Core;
  } finally {
    core.env().set('PROD', before);
  }
}

/** The tfjs-core that this package resolves; undefined where the user has not installed that optional peer. */
function ownCore(): Core | undefined {
  try {
    return createRequire(import.meta.url)('@tensorflow/tfjs-core') as Core;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'MODULE_NOT_FOUND') return undefined;
    throw error;
  }
}

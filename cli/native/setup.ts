/** The whole of `outlierscope setup-native`: use what is there, else build in the cache. */
import { mkdirSync, mkdtempSync, readdirSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { statfs } from 'node:fs/promises';
import { join } from 'node:path';
import { estimatedFraction, type Progress, withProgress } from '../progress.ts';
import { compileAddon, installTfjsNode } from './build.ts';
import { acquireBuildLock } from './build-lock.ts';
import { type NativeCache, packageIn, TENSORFLOW_VERSION, TFJS_NODE_VERSION } from './cache.ts';
import { type CheckResult, checkNative } from './check.ts';
import { NativeSetupError } from './failure.ts';
import { cachedCopy, type NativeCopy, projectCopies } from './find.ts';
import { writeMarker } from './marker.ts';
import { requireTools, thisPlatform, whyCannotBuild, whyCannotBuildIn, whyNodeCannotRun } from './platform.ts';
import { downloadedBytes, downloadWheel, type StepBase, unpackWheel, wheelFor } from './wheel.ts';

export interface SetupOptions {
  /** Where to look for the project's own tfjs-node. */
  readonly workingDirectory: string;
  readonly cache: NativeCache;
  /** `reuse` leaves a copy that works alone; `rebuild` builds in the cache in any case. */
  readonly mode: 'reuse' | 'rebuild';
  readonly environment: NodeJS.ProcessEnv;
  readonly progress: Progress;
  readonly signal: AbortSignal;
}

export interface SetupResult {
  readonly status: 'found' | 'built';
  readonly source: 'project' | 'cache';
  /** The package's directory. */
  readonly path: string;
  /** TensorFlow's version. */
  readonly tensorflow: string;
  readonly seconds: number;
}

/** Seconds of the steps that only tell when they end, on two cores. */
const TYPICAL_SECONDS = { check: 2, install: 8, compile: 12 };
/** Peak of a build: the wheel twice while pip moves it, then the wheel beside what is unpacked from it. */
const NEEDED_BYTES = 2e9;

export async function setupNative(options: SetupOptions): Promise<SetupResult> {
  const started = performance.now();
  const result = (status: SetupResult['status'], copy: NativeCopy, tensorflow: string): SetupResult => {
    const seconds = Math.round((performance.now() - started) / 100) / 10;
    return { status, source: copy.source, path: copy.path, tensorflow, seconds };
  };
  refuse(whyNodeCannotRun(process.versions.node));

  if (options.mode === 'reuse') {
    for (const copy of projectCopies(options.workingDirectory)) {
      const check = await checkWithProgress(options, copy.path, `Checking ${copy.name} of this project`);
      if (check.works) return result('found', copy, check.tensorflow);
      options.progress.note(`${copy.path} does not work: ${check.reason}.`);
    }
    const cached = await workingCachedCopy(options);
    if (cached) return result('found', cached.copy, cached.tensorflow);
  }

  refuse(whyCannotBuild(thisPlatform()));
  refuse(whyCannotBuildIn(options.cache.directory));
  await requireTools(options.environment);
  mkdirSync(options.cache.directory, { recursive: true });
  await requireSpace(options.cache.directory);

  let waited = false;
  const lock = await acquireBuildLock(options.cache.lock, options.signal, (holder) => {
    waited = true;
    options.progress.note(
      `Another setup-native (process ${holder?.processId ?? 'unknown'}) is building; waiting for it.`,
    );
  });
  try {
    // Whoever waited finds the other's build; that is recent enough for --force as well.
    const cached = waited ? await workingCachedCopy(options) : undefined;
    if (cached) return result('found', cached.copy, cached.tensorflow);
    const tensorflow = await buildInCache(options);
    return result(
      'built',
      { source: 'cache', name: '@tensorflow/tfjs-node', path: packageIn(options.cache.build) },
      tensorflow,
    );
  } finally {
    lock.release();
  }
}

/** The cache's build when it still passes its check; the user is told when it does not. */
async function workingCachedCopy(options: SetupOptions): Promise<{ copy: NativeCopy; tensorflow: string } | undefined> {
  const copy = cachedCopy(options.cache);
  if (copy === undefined) return undefined;
  const check = await checkWithProgress(options, copy.path, 'Checking the build in the cache');
  if (check.works) return { copy, tensorflow: check.tensorflow };
  options.progress.note(`${copy.path} does not work any more: ${check.reason}. Building it again.`);
  return undefined;
}

async function buildInCache(options: SetupOptions): Promise<string> {
  const { cache, progress, signal, environment } = options;
  const wheel = wheelFor(process.arch);
  if (wheel === undefined) throw new NativeSetupError(`There is no TensorFlow wheel for ${process.arch}.`);
  const base: StepBase = { environment, log: cache.log, signal };
  removeUnfinished(cache);
  writeFileSync(cache.log, `outlierscope setup-native, ${new Date().toISOString()}, Node ${process.version}\n`);
  const work = mkdtempSync(join(cache.directory, cache.unfinishedPrefix));
  try {
    const wheelFile = await withProgress(
      progress,
      `Downloading TensorFlow ${TENSORFLOW_VERSION}`,
      () => bytesOf(downloadedBytes(work), wheel.bytes),
      () => downloadWheel(base, work, wheel),
    );
    await withProgress(progress, `Installing tfjs-node ${TFJS_NODE_VERSION}`, typically(TYPICAL_SECONDS.install), () =>
      installTfjsNode(base, work),
    );
    let unpacked = 0;
    await withProgress(
      progress,
      'Unpacking libtensorflow',
      () => ({ fraction: unpacked }),
      () =>
        unpackWheel(base, work, wheelFile, (fraction) => {
          unpacked = fraction;
        }),
    );
    await withProgress(progress, "Compiling tfjs-node's addon", typically(TYPICAL_SECONDS.compile), () =>
      compileAddon(base, work),
    );
    const check = await checkWithProgress(options, packageIn(work), 'Checking that it loads and multiplies');
    signal.throwIfAborted();
    if (!check.works) {
      throw new NativeSetupError(
        [
          `tfjs-node was built, but it does not work: ${check.reason}.`,
          `The log of its build: ${cache.log}`,
          'Please report this with that log. TensorFlow.js itself goes on to work on its other backends.',
        ].join('\n'),
      );
    }
    writeMarker(work, check.tensorflow);
    putInPlace(work, cache);
    return check.tensorflow;
  } finally {
    rmSync(work, { recursive: true, force: true });
  }
}

/** A rename shows the build whole or not at all; what was there before it is removed after. */
function putInPlace(work: string, cache: NativeCache): void {
  const outdated = join(cache.directory, `${cache.unfinishedPrefix}outdated-${process.pid}`);
  try {
    renameSync(cache.build, outdated);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ENOENT') throw error;
  }
  renameSync(work, cache.build);
  rmSync(outdated, { recursive: true, force: true });
}

/** What a killed set-up left. The lock is held, so nobody works on it. */
function removeUnfinished(cache: NativeCache): void {
  for (const name of readdirSync(cache.directory)) {
    if (name.startsWith(cache.unfinishedPrefix)) {
      rmSync(join(cache.directory, name), { recursive: true, force: true });
    }
  }
}

function checkWithProgress(options: SetupOptions, path: string, label: string): Promise<CheckResult> {
  options.signal.throwIfAborted();
  return withProgress(options.progress, label, typically(TYPICAL_SECONDS.check), () =>
    checkNative(path, options.environment),
  );
}

async function requireSpace(directory: string): Promise<void> {
  const { bavail, bsize } = await statfs(directory);
  const free = bavail * bsize;
  if (free >= NEEDED_BYTES) return;
  throw new NativeSetupError(
    [
      `The build needs ${megabytes(NEEDED_BYTES)} MB while it runs (1.2 GB stay), and ${directory} has ${megabytes(free)} MB free.`,
      'Free some space, or set OUTLIERSCOPE_CACHE to a directory on another disk.',
    ].join('\n'),
  );
}

function refuse(reason: string | undefined): void {
  if (reason !== undefined) throw new NativeSetupError(reason);
}

const megabytes = (bytes: number): number => Math.round(bytes / 1e6);

function bytesOf(bytes: number, expected: number): { fraction: number; note: string } {
  const arrived = Math.min(bytes, expected);
  return { fraction: arrived / expected, note: `${megabytes(arrived)} of ${megabytes(expected)} MB` };
}

function typically(seconds: number): (elapsedSeconds: number) => { fraction: number } {
  return (elapsedSeconds) => ({ fraction: estimatedFraction(elapsedSeconds, seconds) });
}

/** Where the native backend lives: a cache outside every node_modules, so that it outlasts `npm ci` and serves all projects. */
import { isAbsolute, join, resolve } from 'node:path';

export const TFJS_NODE_VERSION = '4.22.0';
export const TENSORFLOW_VERSION = '2.21.0';
/** The newest Node-API that tfjs-node 4.22.0 is built for. Node 20 and 22 both have it, so one build serves both. */
export const NODE_API_VERSION = 8;

/** `$OUTLIERSCOPE_CACHE`, else `$XDG_CACHE_HOME/outlierscope`, else `~/.cache/outlierscope`. */
export function cacheRoot(environment: NodeJS.ProcessEnv, home: string): string {
  const own = environment.OUTLIERSCOPE_CACHE;
  if (own) return resolve(own);
  // The XDG specification: a path that is not absolute is to be ignored.
  const shared = environment.XDG_CACHE_HOME;
  return join(shared && isAbsolute(shared) ? shared : join(home, '.cache'), 'outlierscope');
}

/** All that belongs to one build. Whatever changes the result is in the name, so that another version builds beside it. */
export interface NativeCache {
  /** Holds the rest. */
  readonly directory: string;
  /** The finished build; it appears by a rename, whole or not at all. */
  readonly build: string;
  /** Unfinished and outdated builds begin with this; one that nobody works on may be deleted. */
  readonly unfinishedPrefix: string;
  /** Held by the process that builds. */
  readonly lock: string;
  /** What the steps of the last build printed. */
  readonly log: string;
}

export function nativeCache(
  root: string,
  platform: string = process.platform,
  architecture: string = process.arch,
): NativeCache {
  const directory = join(root, 'native');
  const name = [
    `tfjs-node-${TFJS_NODE_VERSION}`,
    `tensorflow-${TENSORFLOW_VERSION}`,
    `${platform}-${architecture}`,
    `napi${NODE_API_VERSION}`,
  ].join('-');
  return {
    directory,
    build: join(directory, name),
    unfinishedPrefix: `${name}.unfinished-`,
    lock: join(directory, `${name}.lock`),
    log: join(directory, `${name}.log`),
  };
}

/** Where tfjs-node lies inside a build, finished or not. */
export function packageIn(build: string): string {
  return join(build, 'node_modules', '@tensorflow', 'tfjs-node');
}

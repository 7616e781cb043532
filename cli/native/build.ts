/** Installs tfjs-node with a lockfile of its own, and compiles its addon against the unpacked libtensorflow. */
import { copyFileSync, readFileSync, rmSync } from 'node:fs';
import { dirname, join, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import { packageIn } from './cache.ts';
import { runStep } from './step.ts';
import type { StepBase } from './wheel.ts';

/** `--ignore-scripts`: tfjs-node's own installer would download a libtensorflow, and fail where it cannot. */
export async function installTfjsNode(base: StepBase, work: string): Promise<void> {
  // Other names than npm's: npm leaves a package-lock.json out when it packs, and a nested package.json has effects.
  const lock = fileURLToPath(new URL('./lock/', import.meta.url));
  copyFileSync(join(lock, 'tfjs-node.package.json'), join(work, 'package.json'));
  copyFileSync(join(lock, 'tfjs-node.lock.json'), join(work, 'package-lock.json'));
  await runStep({
    ...base,
    title: 'Installing tfjs-node',
    command: 'npm',
    arguments: ['ci', '--ignore-scripts', '--no-audit', '--no-fund', '--no-update-notifier'],
    directory: work,
    environment: npmEnvironment(base.environment),
    hint: 'npm must reach its registry (`npm config get registry`). Then run `outlierscope setup-native` again.',
  });
}

/** node-gyp's own words after the compiler's: its environment, its stack, its command line once more. */
const GYP_NOISE =
  /^gyp info|^(node-pre-gyp|gyp) ERR! (stack +at |System|command|cwd|node|not ok|\$npm)|^Failed to execute|^npm warn/;

export async function compileAddon(base: StepBase, work: string): Promise<void> {
  const directory = packageIn(work);
  const prefix = headersPrefix();
  await runStep({
    ...base,
    title: "Compiling tfjs-node's addon",
    command: 'npx',
    arguments: [
      ...['--no-install', 'node-pre-gyp', 'install', '--build-from-source'],
      ...(prefix === undefined ? [] : [`--nodedir=${prefix}`]),
    ],
    directory,
    environment: { ...npmEnvironment(base.environment), JOBS: 'max' },
    noise: GYP_NOISE,
    hint: [
      ...(prefix === undefined
        ? [
            "Node's headers do not lie beside node, so node-gyp downloads them from nodejs.org, which must be reachable.",
          ]
        : []),
      'Mend what the lines above name, then run `outlierscope setup-native` again.',
    ].join('\n'),
  });
  // Needed for the compilation only.
  for (const leftover of ['build', 'build-tmp-napi-v8', join('deps', 'include')]) {
    rmSync(join(directory, leftover), { recursive: true, force: true });
  }
}

/** The directory whose include/node holds the headers of exactly this Node; undefined when there is none. */
function headersPrefix(): string | undefined {
  const prefix = resolve(dirname(process.execPath), '..');
  try {
    const header = readFileSync(join(prefix, 'include', 'node', 'node_version.h'), 'utf8');
    const part = (name: string): string | undefined =>
      header.match(new RegExp(`^#define NODE_${name}_VERSION (\\d+)`, 'm'))?.[1];
    const version = `${part('MAJOR')}.${part('MINOR')}.${part('PATCH')}`;
    return version === process.versions.node ? prefix : undefined;
  } catch {
    return undefined;
  }
}

/** What an outer `npx --package=outlierscope ...` or `npm run -w ...` hands down, and the npm within must not obey. */
const OUTER_NPM = new Set(
  [
    'package',
    'call',
    'workspace',
    'workspaces',
    'include_workspace_root',
    'global',
    'location',
    'prefix',
    'local_prefix',
  ]
    .concat(['dry_run', 'omit', 'include', 'package_lock', 'package_lock_only', 'lockfile_version', 'install_links'])
    .map((name) => `npm_config_${name}`),
);

function npmEnvironment(environment: NodeJS.ProcessEnv): NodeJS.ProcessEnv {
  return Object.fromEntries(Object.entries(environment).filter(([name]) => !OUTER_NPM.has(name.toLowerCase())));
}

/** setup-native and the loader: the real build (made once, kept in the user's cache) and, with stand-ins for the tools, every way to fail. */
import { spawn, spawnSync } from 'node:child_process';
import {
  chmodSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  symlinkSync,
  truncateSync,
  utimesSync,
  writeFileSync,
} from 'node:fs';
import { createRequire } from 'node:module';
import { homedir, hostname, tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { fileURLToPath, pathToFileURL } from 'node:url';
import { afterEach, beforeAll, describe, expect, it } from 'vitest';
import { acquireBuildLock } from '../../cli/native/build-lock.ts';
import { cacheRoot, nativeCache, packageIn } from '../../cli/native/cache.ts';
import { checkNative } from '../../cli/native/check.ts';
import { cachedCopy, projectCopies } from '../../cli/native/find.ts';
import { NATIVE_FILES, writeMarker } from '../../cli/native/marker.ts';
import { whyCannotBuild, whyNodeCannotRun } from '../../cli/native/platform.ts';

const repository = fileURLToPath(new URL('../../', import.meta.url));
const main = join(repository, 'cli', 'main.ts');
const tsx = pathToFileURL(createRequire(import.meta.url).resolve('tsx')).href;

interface Outcome {
  code: number | null;
  stdout: string;
  stderr: string;
}

/** A child is started in a directory of its own, so that nothing near the repository counts as "the project". */
function start(nodeArguments: string[], environment: NodeJS.ProcessEnv = {}, directory = temporary()) {
  const child = spawn(process.execPath, ['--import', tsx, ...nodeArguments], {
    cwd: directory,
    env: { ...process.env, ...environment },
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  let stdout = '';
  let stderr = '';
  child.stdout.on('data', (chunk) => (stdout += chunk));
  child.stderr.on('data', (chunk) => (stderr += chunk));
  const outcome = new Promise<Outcome>((resolve) => child.on('close', (code) => resolve({ code, stdout, stderr })));
  return { child, outcome, stdout: () => stdout };
}

function setupNative(options: string[], environment?: NodeJS.ProcessEnv, directory?: string): Promise<Outcome> {
  return start([main, 'setup-native', ...options], environment, directory).outcome;
}

const temporaries: string[] = [];
function temporary(): string {
  const directory = mkdtempSync(join(tmpdir(), 'outlierscope-native-'));
  temporaries.push(directory);
  return directory;
}
afterEach(() => {
  for (const directory of temporaries.splice(0)) rmSync(directory, { recursive: true, force: true });
});

/** A PATH with these shell scripts and nothing else. */
function pathWith(tools: Record<string, string>): string {
  const directory = temporary();
  symlinkSync(process.execPath, join(directory, 'node'));
  for (const [name, body] of Object.entries(tools)) {
    writeFileSync(join(directory, name), `#!/bin/sh\n${body}\n`);
    chmodSync(join(directory, name), 0o755);
  }
  return directory;
}

/** Tools that answer for their version; `download` is what pip does when it is to download. */
function standInTools(download: string): string {
  const python3 = `case "$*" in *--version*) exit 0;; *download*) ${download};; *) exit 9;; esac`;
  return pathWith({ python3, 'g++': 'exit 0', make: 'exit 0', npm: 'exit 0', npx: 'exit 0' });
}

/** All the files of a finished build, a few bytes each. */
function makeBuild(build: string): void {
  for (const file of NATIVE_FILES) {
    const path = join(packageIn(build), file);
    mkdirSync(dirname(path), { recursive: true });
    writeFileSync(path, 'some bytes');
  }
}

describe('the cache', () => {
  it.each([
    [{ OUTLIERSCOPE_CACHE: '/big/cache', XDG_CACHE_HOME: '/xdg' }, '/big/cache'],
    [{ XDG_CACHE_HOME: '/xdg' }, '/xdg/outlierscope'],
    [{ XDG_CACHE_HOME: 'relative/is/ignored' }, '/home/ada/.cache/outlierscope'],
    [{ OUTLIERSCOPE_CACHE: '', XDG_CACHE_HOME: '' }, '/home/ada/.cache/outlierscope'],
  ])('lies for %j at %s', (environment, expected) => {
    expect(cacheRoot(environment, '/home/ada')).toBe(expected);
  });

  it('keeps builds of different machines apart', () => {
    expect(nativeCache('/cache', 'linux', 'x64').build).not.toBe(nativeCache('/cache', 'linux', 'arm64').build);
  });

  it('takes a build for good only with its marker and with whole files', () => {
    const cache = nativeCache(temporary());
    makeBuild(cache.build);
    expect(cachedCopy(cache)).toBeUndefined();

    writeMarker(cache.build, '2.21.0');
    expect(cachedCopy(cache)).toMatchObject({ source: 'cache', path: packageIn(cache.build), tensorflow: '2.21.0' });

    truncateSync(join(packageIn(cache.build), 'deps/lib/libtensorflow_cc.so.2'), 3);
    expect(cachedCopy(cache)).toBeUndefined();
  });
});

describe('the lock of a build', () => {
  const never = new AbortController().signal;

  it('is handed on when its holder is done', async () => {
    const path = join(temporary(), 'lock');
    const first = await acquireBuildLock(path, never, () => expect.unreachable());
    let waitedFor: number | undefined;
    const second = acquireBuildLock(path, never, (holder) => (waitedFor = holder?.processId), 10);
    await expect.poll(() => waitedFor).toBe(process.pid);
    first.release();
    (await second).release();
    expect(existsSync(path)).toBe(false);
  });

  it('is taken over from a process that has ended', async () => {
    const path = join(temporary(), 'lock');
    writeFileSync(path, JSON.stringify({ processId: endedProcess(), host: hostname() }));
    (await acquireBuildLock(path, never, () => expect.unreachable(), 10)).release();
  });

  it('of another machine is respected as long as its heartbeat goes on', async () => {
    const path = join(temporary(), 'lock');
    writeFileSync(path, JSON.stringify({ processId: 1, host: 'another-machine' }));
    const impatient = AbortSignal.timeout(200);
    await expect(acquireBuildLock(path, impatient, () => {}, 10)).rejects.toThrow();

    const threeMinutesAgo = new Date(Date.now() - 3 * 60_000);
    utimesSync(path, threeMinutesAgo, threeMinutesAgo);
    (await acquireBuildLock(path, never, () => expect.unreachable(), 10)).release();
  });
});

/** A process that was ended but not yet reaped by its parent (in a container, often never) does not run. */
function isRunning(processId: number): boolean {
  try {
    return !/^State:\s+Z/m.test(readFileSync(`/proc/${processId}/status`, 'utf8'));
  } catch {
    return false;
  }
}

function endedProcess(): number {
  return spawnSync(process.execPath, ['-e', '']).pid;
}

describe('the check', () => {
  it.each([
    [
      'throws',
      "throw new Error('libtensorflow.so.2: cannot open shared object file')",
      'libtensorflow.so.2: cannot open',
    ],
    ['crashes', 'process.abort()', 'crashed with SIGABRT'],
    ['ends the process', 'process.exit(0)', 'ended its process'],
    ['has another backend', standInTensorFlow("'cpu'", '[19, 22, 43, 50]'), "backend is 'cpu'"],
    [
      'multiplies wrongly',
      standInTensorFlow("'tensorflow'", '[19, 22, 43, 51]'),
      'to [19,22,43,51] instead of [19,22,43,50]',
    ],
  ])('refuses a tfjs-node that %s', async (_, source, reason) => {
    const directory = temporary();
    writeFileSync(join(directory, 'index.js'), source);
    expect(await checkNative(directory, process.env)).toEqual({
      works: false,
      reason: expect.stringContaining(reason),
    });
  });
});

function standInTensorFlow(backend: string, product: string): string {
  return `module.exports = {
    ready: async () => {}, getBackend: () => ${backend}, backend: () => ({ binding: { TF_Version: '2.21.0' } }),
    tensor2d: () => ({}), matMul: () => ({ dataSync: () => ${product} }),
  };`;
}

describe('setup-native where it cannot build', () => {
  it('names every missing tool and what installs them, before it downloads anything', async () => {
    const cache = temporary();
    const { code, stdout, stderr } = await setupNative([], { PATH: pathWith({}), OUTLIERSCOPE_CACHE: cache });
    expect(code).toBe(1);
    expect(stderr).toMatch(/pip \(python3 -m pip\).*\n.*g\+\+.*\n.*make.*\n.*npm/);
    expect(stderr).toContain('apt-get install -y python3-pip g++ make');
    expect(stdout).toBe('');
    expect(readdirSync(cache)).toEqual([]);
  });

  it('names only what is missing', async () => {
    const PATH = pathWith({ python3: 'exit 0', make: 'exit 0', npm: 'exit 0', npx: 'exit 0' });
    const { stderr } = await setupNative([], { PATH, OUTLIERSCOPE_CACHE: temporary() });
    expect(stderr).toContain('apt-get install -y g++\n');
    expect(stderr).not.toMatch(/pip|npm/);
  });

  it('tells which step failed, its last lines and its log, and clears away what a killed set-up left', async () => {
    const root = temporary();
    const cache = nativeCache(root);
    const leftover = join(cache.directory, `${cache.unfinishedPrefix}abc`);
    mkdirSync(leftover, { recursive: true });
    writeFileSync(cache.lock, JSON.stringify({ processId: endedProcess(), host: hostname() }));
    const PATH = standInTools('echo "ERROR: No matching distribution" >&2; exit 1');

    const { code, stdout, stderr } = await setupNative(['--json'], { PATH, OUTLIERSCOPE_CACHE: root });
    expect(code).toBe(1);
    expect(stdout).toBe('');
    expect(stderr).toMatch(/Downloading tensorflow(-cpu)?==2\.21\.0 failed: .* exited with code 1/);
    expect(stderr).toContain('  ERROR: No matching distribution');
    expect(stderr).toContain(cache.log);
    expect(stderr).toContain('run `outlierscope setup-native` again');
    expect(readFileSync(cache.log, 'utf8')).toContain('ERROR: No matching distribution');
    expect(readdirSync(cache.directory).map((name) => join(cache.directory, name))).toEqual([cache.log]);
  });

  it('does not take a half-built directory for a build', async () => {
    const root = temporary();
    makeBuild(nativeCache(root).build);
    const PATH = standInTools('exit 1');
    const { code, stderr } = await setupNative([], { PATH, OUTLIERSCOPE_CACHE: root });
    expect(code).toBe(1);
    expect(stderr).toContain('Downloading');
  });

  it('leaves nothing when it is interrupted, and ends what it started', async () => {
    const root = temporary();
    const cache = nativeCache(root);
    const PATH = standInTools('/bin/sleep 60 & echo $! > pid; wait');
    const { child, outcome } = start([main, 'setup-native'], { PATH, OUTLIERSCOPE_CACHE: root });
    const pidFile = (): string | undefined =>
      existsSync(cache.directory)
        ? readdirSync(cache.directory, { recursive: true, encoding: 'utf8' }).find((name) => name.endsWith('/pid'))
        : undefined;
    await expect.poll(pidFile).toBeDefined();
    await expect.poll(() => readFileSync(join(cache.directory, pidFile() ?? ''), 'utf8')).toMatch(/\d+\n/);
    const download = Number(readFileSync(join(cache.directory, pidFile() ?? ''), 'utf8'));
    child.kill('SIGTERM');

    const { code, stderr } = await outcome;
    expect(code).toBe(143);
    expect(stderr).toContain('Interrupted');
    expect(isRunning(download)).toBe(false);
    expect(readdirSync(cache.directory).map((name) => join(cache.directory, name))).toEqual([cache.log]);
  });

  it('refuses a cache path that make cannot build in', async () => {
    const root = join(temporary(), 'my cache');
    const { code, stderr } = await setupNative([], { OUTLIERSCOPE_CACHE: root });
    expect(code).toBe(1);
    expect(stderr).toContain(`blanks, quotes, ':', '#' or '$' in its path: ${root}`);
    expect(existsSync(root)).toBe(false);
  });

  it('says what to do instead on other systems and on a Node that tfjs-node does not run on', () => {
    const linux = { operatingSystem: 'linux', architecture: 'x64', node: '20.19.0', glibc: '2.36' };
    expect(whyCannotBuild(linux)).toBeUndefined();
    expect(whyCannotBuild({ ...linux, operatingSystem: 'darwin' })).toMatch(
      /macOS[\s\S]*npm install @tensorflow\/tfjs-node/,
    );
    expect(whyCannotBuild({ ...linux, operatingSystem: 'win32' })).toContain('Windows');
    expect(whyCannotBuild({ ...linux, architecture: 'riscv64' })).toContain('linux on riscv64');
    expect(whyCannotBuild({ ...linux, glibc: undefined })).toContain('musl');
    expect(whyCannotBuild({ ...linux, glibc: '2.17' })).toContain('needs glibc 2.27 or newer; this system has 2.17');
    expect(whyNodeCannotRun('22.20.0')).toBeUndefined();
    expect(whyNodeCannotRun('23.0.0')).toMatch(/Node 23\.0\.0[\s\S]*Node 20 or 22/);
  });
});

it('pins tfjs-node with a lockfile that names no registry of its own', () => {
  const read = (name: string) => JSON.parse(readFileSync(join(repository, 'cli/native/lock', name), 'utf8'));
  const { packages } = read('tfjs-node.lock.json') as { packages: Record<string, Record<string, string>> };
  const { '': root, ...installed } = packages;
  expect(root?.dependencies).toEqual(read('tfjs-node.package.json').dependencies);
  expect(installed['node_modules/@tensorflow/tfjs-node']?.version).toBe('4.22.0');
  for (const entry of Object.values(installed)) {
    expect(entry.integrity).toMatch(/^sha512-/);
    expect(entry).not.toHaveProperty('resolved');
  }
});

describe('the real backend', () => {
  const cache = nativeCache(cacheRoot(process.env, homedir()));

  beforeAll(async () => {
    // The one real build, about 40 s, unless the cache has it from an earlier run.
    const { code, stderr } = await setupNative(['--json']);
    expect(stderr).not.toContain('failed');
    expect(code).toBe(0);
  }, 600_000);

  it('is found by the next set-up, without a build', async () => {
    const { code, stdout, stderr } = await setupNative(['--json']);
    expect(code).toBe(0);
    expect(stdout.trimEnd().split('\n')).toHaveLength(1);
    const result = JSON.parse(stdout);
    expect(result).toMatchObject({
      status: 'found',
      source: 'cache',
      path: packageIn(cache.build),
      tensorflow: '2.21.0',
    });
    expect(result.seconds).toBeLessThan(10); // a build takes 30 s and more
    expect(stderr).not.toContain('Downloading');
  });

  it('is left alone when the project has it', async () => {
    const project = projectWith('@tensorflow/tfjs-node', (path) => symlinkSync(packageIn(cache.build), path));
    const empty = temporary();
    const { code, stdout } = await setupNative(['--json'], { OUTLIERSCOPE_CACHE: empty }, project);
    expect(code).toBe(0);
    expect(JSON.parse(stdout)).toMatchObject({ status: 'found', source: 'project', tensorflow: '2.21.0' });
    expect(readdirSync(empty)).toEqual([]);
  });

  it("stands in for a project's copy that is broken, and says so", async () => {
    const project = projectWith('@tensorflow/tfjs-node-gpu', (path) => {
      mkdirSync(path);
      writeFileSync(join(path, 'package.json'), '{ "name": "@tensorflow/tfjs-node-gpu" }');
      writeFileSync(join(path, 'index.js'), "throw new Error('libcudart.so.11.0: cannot open shared object file')");
    });
    expect(projectCopies(project).map(({ name }) => name)).toEqual(['@tensorflow/tfjs-node-gpu']);
    const { code, stdout } = await setupNative([], {}, project);
    expect(code).toBe(0);
    expect(stdout).toContain('tfjs-node-gpu does not work: libcudart.so.11.0: cannot open shared object file.');
    expect(stdout).toContain('found in the cache, nothing to do');
  });

  const own = (name: string): string => `require('${name}')`;
  const program = (before: string): string => `
    import { createRequire } from 'node:module';
    const require = createRequire('${join(repository, 'package.json')}');
    ${before};
    const { loadNative } = await import('${pathToFileURL(join(repository, 'cli/native/load.ts')).href}');
    const loaded = await loadNative();
    const tf = require('@tensorflow/tfjs-core');
    const product = tf.matMul(tf.tensor2d([[1, 2], [3, 4]]), tf.tensor2d([[5, 6], [7, 8]]));
    console.log(JSON.stringify({
      loaded, product: [...product.dataSync()], backend: tf.getBackend(),
      binding: tf.backend().binding?.TF_Version, quietOnlyWhileLoading: tf.env().getBool('PROD') === false,
    }));`;

  it.each([
    ['nothing was loaded before', ''],
    ["this package's tfjs-core was loaded before", own('@tensorflow/tfjs-core')],
    ['its JavaScript backend was loaded before', own('@tensorflow/tfjs-backend-cpu')],
  ])('multiplies for every copy of TensorFlow.js, without a word, when %s', async (_, before) => {
    const { code, stdout, stderr } = await start(['--input-type=module', '-e', program(before)]).outcome;
    expect(stderr).toBe('');
    expect(code).toBe(0);
    expect(JSON.parse(stdout)).toEqual({
      loaded: { source: 'cache', path: packageIn(cache.build), tensorflowVersion: '2.21.0' },
      product: [19, 22, 43, 50],
      backend: 'tensorflow',
      binding: '2.21.0',
      quietOnlyWhileLoading: true,
    });
  });

  it('is undefined to the loader where there is none', async () => {
    const source = `
      const { loadNative } = await import('${pathToFileURL(join(repository, 'cli/native/load.ts')).href}');
      console.log(await loadNative());`;
    const environment = { OUTLIERSCOPE_CACHE: temporary() };
    const { stdout } = await start(['--input-type=module', '-e', source], environment).outcome;
    expect(stdout).toBe('undefined\n');
  });
});

function projectWith(name: string, place: (path: string) => void): string {
  const project = temporary();
  mkdirSync(join(project, 'node_modules', dirname(name)), { recursive: true });
  place(join(project, 'node_modules', name));
  return project;
}

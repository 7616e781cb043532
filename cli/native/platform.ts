/** Where the recipe can work at all, and the tools that it needs. Asked before anything is downloaded. */
import { execFile } from 'node:child_process';
import { promisify } from 'node:util';
import { TFJS_NODE_VERSION } from './cache.ts';
import { NativeSetupError } from './failure.ts';
import { wheelFor } from './wheel.ts';

export interface Platform {
  readonly operatingSystem: string;
  readonly architecture: string;
  /** `process.versions.node` */
  readonly node: string;
  /** undefined where the C library is not glibc, as on Alpine. */
  readonly glibc: string | undefined;
}

export function thisPlatform(): Platform {
  const report = process.report.getReport() as unknown as { header: { glibcVersionRuntime?: string } };
  return {
    operatingSystem: process.platform,
    architecture: process.arch,
    node: process.versions.node,
    glibc: report.header.glibcVersionRuntime,
  };
}

/** Why no tfjs-node at all runs on this Node; undefined when one can. */
export function whyNodeCannotRun(node: string): string | undefined {
  if (Number.parseInt(node, 10) < 23) return undefined;
  return [
    `tfjs-node ${TFJS_NODE_VERSION} does not run on Node ${node}: it calls util.isNullOrUndefined, which Node 23 removed.`,
    'Use Node 20 or 22, for example with: nvm install 22',
  ].join('\n');
}

/** Why tfjs-node cannot be built here, and what to do instead; undefined when it can. */
export function whyCannotBuild(platform: Platform): string | undefined {
  const { operatingSystem, architecture, glibc } = platform;
  if (operatingSystem === 'darwin' || operatingSystem === 'win32') {
    return [
      `setup-native builds on Linux only; this is ${operatingSystem === 'darwin' ? 'macOS' : 'Windows'}.`,
      'tfjs-node brings a ready binary for it: run `npm install @tensorflow/tfjs-node` in your project, then',
      '`outlierscope setup-native` again there; it finds that copy and checks that it works.',
    ].join('\n');
  }
  if (operatingSystem !== 'linux' || wheelFor(architecture) === undefined) {
    return [
      `setup-native needs Linux on x64 or arm64, for which TensorFlow publishes wheels; this is ${operatingSystem} on ${architecture}.`,
      'Train with another backend of TensorFlow.js instead, for example @tensorflow/tfjs-backend-wasm.',
    ].join('\n');
  }
  if (glibc === undefined || isOlder(glibc, MINIMUM_GLIBC)) {
    return [
      `TensorFlow's wheel needs glibc ${MINIMUM_GLIBC} or newer; this system has ${glibc ?? 'another C library (musl?)'}.`,
      'In a container, use an image based on Debian or Ubuntu, for example node:22-slim instead of node:22-alpine.',
    ].join('\n');
  }
  return undefined;
}

/** Why the addon cannot be compiled in this directory; undefined when it can. */
export function whyCannotBuildIn(directory: string): string | undefined {
  if (!/[\s:#$'"]/.test(directory)) return undefined;
  return [
    `make cannot build below a directory with blanks, quotes, ':', '#' or '$' in its path: ${directory}`,
    'Set OUTLIERSCOPE_CACHE to another directory, then run `outlierscope setup-native` again.',
  ].join('\n');
}

const MINIMUM_GLIBC = '2.27';

function isOlder(version: string, minimum: string): boolean {
  const [major = 0, minor = 0] = version.split('.').map(Number);
  const [minimumMajor = 0, minimumMinor = 0] = minimum.split('.').map(Number);
  return major < minimumMajor || (major === minimumMajor && minor < minimumMinor);
}

interface Tool {
  readonly name: string;
  readonly command: string;
  readonly arguments: readonly string[];
  readonly use: string;
  /** Debian's package; undefined for what comes with Node. */
  readonly debian: string | undefined;
}

const TOOLS: readonly Tool[] = [
  {
    name: 'pip (python3 -m pip)',
    command: 'python3',
    arguments: ['-m', 'pip', '--version'],
    use: "downloads TensorFlow's wheel",
    debian: 'python3-pip',
  },
  { name: 'g++', command: 'g++', arguments: ['--version'], use: 'compiles the addon', debian: 'g++' },
  { name: 'make', command: 'make', arguments: ['--version'], use: 'compiles the addon', debian: 'make' },
  { name: 'npm', command: 'npm', arguments: ['--version'], use: 'installs tfjs-node', debian: undefined },
  { name: 'npx', command: 'npx', arguments: ['--version'], use: 'runs the compilation', debian: undefined },
];

/** Throws one message that names every missing tool. */
export async function requireTools(environment: NodeJS.ProcessEnv): Promise<void> {
  const present = await Promise.all(
    TOOLS.map((tool) =>
      promisify(execFile)(tool.command, [...tool.arguments], { env: environment }).then(
        () => true,
        () => false,
      ),
    ),
  );
  const missing = TOOLS.filter((_, index) => !present[index]);
  if (missing.length === 0) return;
  const packages = missing.flatMap((tool) => tool.debian ?? []);
  const fromNode = missing.filter((tool) => tool.debian === undefined).map((tool) => tool.name);
  throw new NativeSetupError(
    [
      `setup-native builds tfjs-node, and ${missing.length === 1 ? 'a tool' : 'tools'} it needs cannot be run here:`,
      ...missing.map((tool) => `  ${tool.name}: ${tool.use}`),
      ...(packages.length > 0 ? ['On Debian and Ubuntu:', `  apt-get install -y ${packages.join(' ')}`] : []),
      ...(fromNode.length > 0 ? [`${fromNode.join(' and ')} should lie beside node; reinstall Node with npm.`] : []),
      'Then run `outlierscope setup-native` again.',
    ].join('\n'),
  );
}

/**
 * libtensorflow as it is inside TensorFlow's own Python wheel: newer than the one that tfjs-node's installer downloads,
 * and to be had wherever pip is set up. All traffic goes through pip, so its index, proxy and certificates apply.
 */
import { mkdirSync, readdirSync, rmSync, statSync, symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { packageIn, TENSORFLOW_VERSION } from './cache.ts';
import { NativeSetupError } from './failure.ts';
import { runStep, type Step } from './step.ts';

interface Wheel {
  readonly project: string;
  readonly platform: string;
  readonly bytes: number;
  /** What PyPI lists for the file; pip refuses any other. */
  readonly sha256?: string;
}

const WHEELS: Readonly<Record<string, Wheel>> = {
  x64: {
    project: 'tensorflow-cpu',
    platform: 'manylinux_2_27_x86_64',
    bytes: 273_829_956,
    sha256: '2b847d217b02ee7731ed91431daf3250daa0196c3c94614d23be27232e6e5b6c',
  },
  // Never run: written down from the x64 recipe. tensorflow-cpu has no aarch64 wheel; there `tensorflow` is CPU-only.
  arm64: { project: 'tensorflow', platform: 'manylinux_2_27_aarch64', bytes: 270_000_000 },
};

export function wheelFor(architecture: string): Wheel | undefined {
  return WHEELS[architecture];
}

/** What every step of one build shares. */
export type StepBase = Pick<Step, 'environment' | 'log' | 'signal'>;

/** Downloads the wheel below `work` and returns its path; `downloadedBytes` tells how far it is. */
export async function downloadWheel(base: StepBase, work: string, wheel: Wheel): Promise<string> {
  const { wheelDirectory, temporaryDirectory } = downloadPlaces(work);
  for (const directory of [wheelDirectory, temporaryDirectory]) mkdirSync(directory, { recursive: true });
  const requirement = `${wheel.project}==${TENSORFLOW_VERSION}`;
  const requirements = join(work, 'tensorflow.requirements.txt');
  writeFileSync(requirements, `${requirement}${wheel.sha256 ? ` --hash=sha256:${wheel.sha256}` : ''}\n`);
  await runStep({
    ...base,
    title: `Downloading ${requirement}`,
    command: 'python3',
    // Python version and platform are said explicitly, so that any Python's pip fetches the same file.
    arguments: [
      ...['-m', 'pip', 'download', '--no-input', '--no-deps', '--no-cache-dir', '--progress-bar', 'off'],
      ...['--only-binary', ':all:', '--python-version', '3.11', '--implementation', 'cp', '--abi', 'cp311'],
      ...['--platform', wheel.platform, '--dest', wheelDirectory, '--requirement', requirements],
    ],
    directory: work,
    // pip downloads to TMPDIR and moves the file when it is whole; there its growth can be seen, and goes with the rest.
    environment: { ...base.environment, TMPDIR: temporaryDirectory, PIP_REQUIRE_VIRTUALENV: '0' },
    hint: [
      'pip must reach an index that has this wheel. Behind a proxy or with a mirror of your own, tell pip',
      '(`python3 -m pip config set global.index-url URL`, or HTTPS_PROXY), then run `outlierscope setup-native` again.',
    ].join('\n'),
  });
  const file = readdirSync(wheelDirectory).find((name) => name.endsWith('.whl'));
  if (file === undefined)
    throw new NativeSetupError(`pip download left no wheel in ${wheelDirectory}. See ${base.log}`);
  return join(wheelDirectory, file);
}

/** Bytes of the wheel that have arrived so far. */
export function downloadedBytes(work: string): number {
  const { wheelDirectory, temporaryDirectory } = downloadPlaces(work);
  return Math.max(bytesBelow(wheelDirectory), bytesBelow(temporaryDirectory));
}

function downloadPlaces(work: string): { wheelDirectory: string; temporaryDirectory: string } {
  return { wheelDirectory: join(work, 'wheel'), temporaryDirectory: join(work, 'download') };
}

function bytesBelow(directory: string): number {
  try {
    const entries = readdirSync(directory, { recursive: true, withFileTypes: true });
    return entries.reduce(
      (sum, entry) => (entry.isFile() ? sum + statSync(join(entry.parentPath, entry.name)).size : sum),
      0,
    );
  } catch {
    // A file went away while we looked: the next look counts anew.
    return 0;
  }
}

// Python, because it is there (pip needs it) and reads the wheel's 860 MB without holding them.
const UNPACK = `
import os, sys, zipfile
wheel, destination = sys.argv[1:3]
libraries = ('tensorflow/libtensorflow_cc.so.2', 'tensorflow/libtensorflow_framework.so.2')
root = 'tensorflow/include/'
headers = tuple(root + part for part in ('tensorflow/c/', 'xla/tsl/', 'tsl/', 'tensorflow/core/platform/'))
def place(name):
    if name in libraries:
        return os.path.join('lib', os.path.basename(name))
    if name.startswith(headers) and not name.endswith('/') and '..' not in name:
        return os.path.join('include', name[len(root):])
with zipfile.ZipFile(wheel) as archive:
    wanted = [(entry, place(entry.filename)) for entry in archive.infolist() if place(entry.filename)]
    absent = set(libraries) - set(entry.filename for entry, _ in wanted)
    if absent:
        sys.exit('the wheel has no ' + ', '.join(sorted(absent)))
    total = sum(entry.file_size for entry, _ in wanted)
    written = told = 0
    for entry, name in wanted:
        target = os.path.join(destination, name)
        os.makedirs(os.path.dirname(target), exist_ok=True)
        with archive.open(entry) as source, open(target, 'wb') as sink:
            for block in iter(lambda: source.read(1 << 22), b''):
                sink.write(block)
                written += len(block)
                if written - told > total / 100:
                    told = written
                    print('progress', written / total, flush=True)
`;

/** Unpacks libraries and headers to where tfjs-node's build looks for them, and deletes the wheel. */
export async function unpackWheel(
  base: StepBase,
  work: string,
  wheelFile: string,
  onProgress: (fraction: number) => void,
): Promise<void> {
  const dependencies = join(packageIn(work), 'deps');
  await runStep({
    ...base,
    title: 'Unpacking libtensorflow',
    command: 'python3',
    arguments: ['-c', UNPACK, wheelFile, dependencies],
    directory: work,
    hint: 'Run `outlierscope setup-native` again; if the disk is full, free 2 GB or set OUTLIERSCOPE_CACHE to another disk.',
    onProgress: (value) => onProgress(Number(value)),
  });
  // tfjs-node links with -ltensorflow and -ltensorflow_framework; the wheel has only the versioned names.
  for (const [link, target] of [
    ['libtensorflow.so', 'libtensorflow_cc.so.2'],
    ['libtensorflow_framework.so', 'libtensorflow_framework.so.2'],
  ] as const) {
    symlinkSync(target, join(dependencies, 'lib', link));
  }
  for (const directory of Object.values(downloadPlaces(work))) rmSync(directory, { recursive: true, force: true });
}

/**
 * Sets up what the tests need beside npm's packages: the real servers, a browser, and native TensorFlow. `npm test`
 * runs it first; it is quick and quiet when all is there. As root on Debian with CI=true it fetches what is missing,
 * and fails if it cannot. Elsewhere it says what is missing and how to get it, and the tests of that are skipped.
 */
import { spawnSync } from 'node:child_process';
import { copyFileSync, existsSync, mkdirSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import {
  componentNames,
  componentsIn,
  debianCacheFolder,
  debianPackagesOf,
  fixedFilesOf,
  missingComponents,
} from '../test/support/components.ts';
import { installPackages, unpackPackage, updatePackageLists } from './debian-packages.ts';

const inContinuousIntegration = process.env.CI === 'true';

/** Needs too many libraries to be unpacked alone, and starts no service when it is installed. */
const INSTALLED = new Set(['chromium']);

function main(): void {
  setUpComponents();
  setUpNativeTensorFlow();
}

function setUpComponents(): void {
  const missing = missingComponents(componentNames);
  if (missing.length === 0) return;
  say(`missing: ${missing.join(', ')}`);

  const packages = debianPackagesOf(missing);
  const reason = whyNotFetched();
  if (reason !== undefined) {
    sayHowToGet(packages, reason);
    return;
  }
  say('updating the package lists');
  updatePackageLists();
  for (const name of packages) fetchPackage(name);
  say('all components of the tests are there');
}

function fetchPackage(name: string): void {
  if (INSTALLED.has(name)) {
    say(`installing ${name}`);
    installPackages([name, 'fonts-dejavu-core']);
  } else {
    say(`fetching ${name} into ${debianCacheFolder()}`);
    unpackPackage(name, debianCacheFolder());
    for (const file of fixedFilesOf(name)) {
      mkdirSync(dirname(file), { recursive: true });
      copyFileSync(join(debianCacheFolder(), name, file), file);
    }
  }
  const stillMissing = missingComponents(componentsIn(name));
  if (stillMissing.length > 0) {
    throw new Error(`the Debian package ${name} came without ${stillMissing.join(', ')}: fetch from Debian 12`);
  }
}

function whyNotFetched(): string | undefined {
  if (!inContinuousIntegration) return 'they are fetched only with CI=true';
  if (process.getuid?.() !== 0) return 'fetching them takes root';
  if (!existsSync('/usr/bin/apt-get')) return 'they are fetched only on Debian, and there is no /usr/bin/apt-get here';
  return undefined;
}

function sayHowToGet(packages: readonly string[], reason: string): void {
  const unpacked = packages.filter((name) => !INSTALLED.has(name));
  const installed = packages.filter((name) => INSTALLED.has(name));
  const commands = [];
  if (unpacked.length > 0) {
    const folder = debianCacheFolder();
    const names = unpacked.join(' ');
    const unpack = `for name in ${names}; do dpkg-deb -x "$name"_*.deb "$name"; done && rm *.deb`;
    commands.push(`mkdir -p ${folder} && cd ${folder} && apt-get download ${names} && ${unpack}`);
  }
  for (const name of unpacked) {
    for (const file of fixedFilesOf(name)) {
      commands.push(`install -D -m 644 ${join(debianCacheFolder(), name, file)} ${file}   (as root)`);
    }
  }
  if (installed.length > 0) commands.push(`apt-get install --no-install-recommends ${installed.join(' ')}   (as root)`);

  const byHand = `By hand, with no service installed:\n  ${commands.join('\n  ')}`;
  const text = `Debian packages ${packages.join(', ')}; ${reason}. ${byHand}`;
  if (inContinuousIntegration) throw new Error(`with CI=true all components have to be there. Missing are the ${text}`);
  say(`they come with the ${text}`);
  say('the tests that need them are skipped');
}

function setUpNativeTensorFlow(): void {
  const root = fileURLToPath(new URL('..', import.meta.url));
  const args = ['--import', 'tsx', 'cli/main.ts', 'setup-native'];
  const { status, signal, error } = spawnSync(process.execPath, args, { cwd: root, stdio: 'inherit' });
  if (status === 0) return;
  const how = error?.message ?? `'outlierscope setup-native' ended with ${signal ?? `code ${status}`}`;
  if (inContinuousIntegration)
    throw new Error(`native TensorFlow could not be set up: ${how}. What it printed says why.`);
  say(`warning: no native TensorFlow (${how}): the tests that need it are skipped`);
}

function say(text: string): void {
  console.log(`setup-tests: ${text}`);
}

try {
  main();
} catch (error) {
  console.error(`setup-tests: ${error instanceof Error ? error.message : String(error)}`);
  process.exitCode = 1;
}

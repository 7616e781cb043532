/** Programs from Debian packages, without the services that installing those packages would start. */
import { spawnSync } from 'node:child_process';
import { existsSync, mkdirSync, mkdtempSync, readdirSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { libraryEnvironment } from '../test/support/components.ts';

const POLICY = '/usr/sbin/policy-rc.d';

/** Brings the package lists up to date. A repository that fails is only warned of: the fetch says if it was needed. */
export function updatePackageLists(): void {
  const { status, output } = execute('apt-get', ['update', '-q']);
  if (status !== 0) console.warn(`setup-tests: warning: apt-get update failed:\n${output}`);
}

/**
 * Unpacks a package into `<folder>/<name>`, with the library packages that it needs and the system lacks. It is made
 * ready beside that place and renamed into it, so what is there is always whole.
 */
export function unpackPackage(name: string, folder: string): void {
  mkdirSync(folder, { recursive: true });
  const work = mkdtempSync(join(folder, `.${name}-`));
  try {
    const root = join(work, 'root');
    downloadInto(root, name, work);
    if (missingLibraries(root).length > 0) {
      for (const library of libraryDependencies(name, work)) downloadInto(root, library, work);
    }
    const missing = missingLibraries(root);
    if (missing.length > 0) {
      throw new Error(`the programs of the Debian package ${name} lack ${missing.join(', ')}: install these`);
    }
    moveIntoPlace(root, join(folder, name));
  } finally {
    rmSync(work, { recursive: true, force: true });
  }
}

/** Installs packages and what they depend on, and starts no service, whatever their scripts ask for. */
export function installPackages(names: readonly string[]): void {
  const options = ['-y', '-q', '--no-install-recommends', '-o', 'DPkg::Lock::Timeout=300'];
  const stayToCleanUp = () => undefined;
  process.on('SIGINT', stayToCleanUp).on('SIGTERM', stayToCleanUp);
  const policy = forbidServices();
  try {
    mustExecute('apt-get', ['install', ...options, ...names]);
  } finally {
    policy.end();
    process.off('SIGINT', stayToCleanUp).off('SIGTERM', stayToCleanUp);
  }
}

/** Debian's own way to forbid the starting of services: a program that answers 101. A policy already there stays. */
function forbidServices(): { end(): void } {
  try {
    writeFileSync(POLICY, '#!/bin/sh\nexit 101\n', { flag: 'wx', mode: 0o755 });
  } catch {
    return { end: () => undefined };
  }
  return { end: () => rmSync(POLICY, { force: true }) };
}

function downloadInto(root: string, name: string, work: string): void {
  // As root: apt's own user may not write to this folder, of which it would warn.
  mustExecute('apt-get', ['download', '-q', '-o', 'APT::Sandbox::User=root', name], work);
  mustExecute('dpkg-deb', ['-x', debFile(name, work), root]);
}

function debFile(name: string, work: string): string {
  const file = readdirSync(work).find((entry) => entry.startsWith(`${name}_`) && entry.endsWith('.deb'));
  if (file === undefined) throw new Error(`apt-get download ${name} succeeded but left no ${name}_*.deb in ${work}`);
  return join(work, file);
}

/** The library packages that a package depends on directly and that are not installed. */
function libraryDependencies(name: string, work: string): string[] {
  const depends = mustExecute('dpkg-deb', ['-f', debFile(name, work), 'Depends']);
  return depends
    .split(/[,|]/)
    .map((dependency) => dependency.trim().split(/[ (:]/)[0] ?? '')
    .filter((dependency) => /^(lib|zlib)/.test(dependency) && !dependency.startsWith('libjs-'))
    .filter((dependency) => !isInstalled(dependency));
}

function isInstalled(name: string): boolean {
  return execute('dpkg-query', ['--status', name]).output.includes('Status: install ok installed');
}

/** The shared libraries that the unpacked programs ask for and the loader does not find. */
function missingLibraries(root: string): string[] {
  const programs = ['usr/bin', 'usr/sbin']
    .map((folder) => join(root, folder))
    .filter((folder) => existsSync(folder))
    .flatMap((folder) => readdirSync(folder).map((program) => join(folder, program)));
  const environment = { ...process.env, LC_ALL: 'C', ...libraryEnvironment(root) };
  const lines = programs.flatMap((program) => {
    const { stdout } = spawnSync('ldd', [program], { encoding: 'utf8', env: environment });
    return (stdout ?? '').split('\n');
  });
  return [...new Set(lines.flatMap((line) => /^\s*(\S+) => not found/.exec(line)?.[1] ?? []))];
}

/** What another run put there meanwhile, or an older one left there without the program, gives way. */
function moveIntoPlace(root: string, place: string): void {
  if (existsSync(place)) renameSync(place, `${root}-before`);
  renameSync(root, place);
}

function mustExecute(command: string, args: readonly string[], cwd?: string): string {
  const { status, output } = execute(command, args, cwd);
  if (status !== 0) throw new Error(`${command} ${args.join(' ')} failed with code ${status}:\n${output}`);
  return output;
}

function execute(command: string, args: readonly string[], cwd?: string): { status: number | null; output: string } {
  const env = { ...process.env, DEBIAN_FRONTEND: 'noninteractive', LC_ALL: 'C' };
  const where = cwd === undefined ? {} : { cwd };
  const result = spawnSync(command, args, { encoding: 'utf8', env, maxBuffer: 64 * 1024 * 1024, ...where });
  const output = result.error?.message ?? `${result.stdout}${result.stderr}`.trim();
  return { status: result.status, output };
}

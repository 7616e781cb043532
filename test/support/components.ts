/**
 * The real programs that the tests run against, and where to find them: on PATH, in /usr/sbin (which is not on every
 * user's PATH), or unpacked from Debian packages into this project's cache by `scripts/setup-tests.ts`.
 */
import { accessSync, constants, existsSync, readdirSync, statSync } from 'node:fs';
import { homedir } from 'node:os';
import { delimiter, join } from 'node:path';

export type ComponentName =
  | 'prometheus'
  | 'promtool'
  | 'alertmanager'
  | 'amtool'
  | 'victoria-metrics'
  | 'vmagent'
  | 'vmalert'
  | 'pushgateway'
  | 'chromium'
  | 'nginx';

export interface Component {
  readonly name: ComponentName;
  /** The program's absolute path. */
  readonly path: string;
  /** What has to be in the program's environment, beside the usual, for it to find its own libraries. */
  readonly environment: Readonly<Record<string, string>>;
}

interface ComponentSource {
  /** The Debian package that ships the program. */
  readonly debianPackage: string;
  /** The names it goes by, Debian's first. */
  readonly programs: readonly string[];
  /** Files that the package's program reads at a fixed place, so that unpacking it into the cache is not enough. */
  readonly fixedFiles?: readonly string[];
}

/** Debian's Alertmanager has its templates here, where others have them in the program. */
const ALERTMANAGER_TEMPLATES = [
  '/usr/share/prometheus/alertmanager/default.tmpl',
  '/usr/share/prometheus/alertmanager/email.tmpl',
];

const SOURCES: Readonly<Record<ComponentName, ComponentSource>> = {
  prometheus: { debianPackage: 'prometheus', programs: ['prometheus'] },
  promtool: { debianPackage: 'prometheus', programs: ['promtool'] },
  alertmanager: {
    debianPackage: 'prometheus-alertmanager',
    programs: ['prometheus-alertmanager', 'alertmanager'],
    fixedFiles: ALERTMANAGER_TEMPLATES,
  },
  amtool: { debianPackage: 'prometheus-alertmanager', programs: ['amtool'] },
  'victoria-metrics': { debianPackage: 'victoria-metrics', programs: ['victoria-metrics'] },
  vmagent: { debianPackage: 'victoria-metrics', programs: ['vmagent'] },
  vmalert: { debianPackage: 'victoria-metrics', programs: ['vmalert'] },
  pushgateway: { debianPackage: 'prometheus-pushgateway', programs: ['prometheus-pushgateway', 'pushgateway'] },
  chromium: { debianPackage: 'chromium', programs: ['chromium', 'google-chrome'] },
  nginx: { debianPackage: 'nginx', programs: ['nginx'] },
};

export const componentNames: readonly ComponentName[] = Object.keys(SOURCES) as ComponentName[];

/** The Debian packages that hold these components, each once. */
export function debianPackagesOf(names: readonly ComponentName[]): string[] {
  return [...new Set(names.map((name) => SOURCES[name].debianPackage))];
}

/** The components that come with a Debian package. */
export function componentsIn(debianPackage: string): ComponentName[] {
  return componentNames.filter((name) => SOURCES[name].debianPackage === debianPackage);
}

/** The files of a Debian package that have to be at their own place on the system, even if the rest is in the cache. */
export function fixedFilesOf(debianPackage: string): string[] {
  return componentsIn(debianPackage).flatMap((name) => SOURCES[name].fixedFiles ?? []);
}

/** Where unpacked Debian packages lie: one folder a package, named after it. */
export function debianCacheFolder(): string {
  const { OUTLIERSCOPE_CACHE, XDG_CACHE_HOME } = process.env;
  const cache = OUTLIERSCOPE_CACHE || join(XDG_CACHE_HOME || join(homedir(), '.cache'), 'outlierscope');
  return join(cache, 'debian');
}

/** Finds a component; undefined where this machine lacks it. */
export function component(name: ComponentName): Component | undefined {
  const { debianPackage, programs, fixedFiles = [] } = SOURCES[name];
  const onSystem = firstProgram([...(process.env.PATH ?? '').split(delimiter), '/usr/sbin'], programs);
  if (onSystem !== undefined) return { name, path: onSystem, environment: {} };

  const root = join(debianCacheFolder(), debianPackage);
  const inCache = firstProgram([join(root, 'usr/bin'), join(root, 'usr/sbin')], programs);
  if (inCache === undefined || !fixedFiles.every((file) => existsSync(file))) return undefined;
  return { name, path: inCache, environment: libraryEnvironment(root) };
}

/** The component, or an error that says how to get it: for code that only runs where the component was asked for. */
export function mustFindComponent(name: ComponentName): Component {
  const found = component(name);
  if (found === undefined) throw new Error(missingComponentsMessage([name]));
  return found;
}

export function missingComponents(names: readonly ComponentName[]): ComponentName[] {
  return names.filter((name) => component(name) === undefined);
}

export function missingComponentsMessage(missing: readonly ComponentName[]): string {
  const packages = debianPackagesOf(missing).join(' ');
  return `not found: ${missing.join(', ')} (get it with: apt-get install --no-install-recommends ${packages})`;
}

/** Lets a program find the library packages unpacked beside it, where the system did not have them. */
export function libraryEnvironment(root: string): Record<string, string> {
  const folders = [join(root, 'usr/lib'), join(root, 'lib')].flatMap((parent) =>
    entriesOf(parent)
      .filter((entry) => entry.endsWith('-linux-gnu')) // Debian's folder of an architecture, such as x86_64-linux-gnu
      .map((entry) => join(parent, entry)),
  );
  return folders.length === 0 ? {} : { LD_LIBRARY_PATH: folders.join(delimiter) };
}

function firstProgram(folders: readonly string[], programs: readonly string[]): string | undefined {
  const candidates = folders
    .filter((folder) => folder !== '')
    .flatMap((folder) => programs.map((p) => join(folder, p)));
  return candidates.find(isExecutableFile);
}

function isExecutableFile(path: string): boolean {
  try {
    accessSync(path, constants.X_OK);
    return statSync(path).isFile();
  } catch {
    return false;
  }
}

function entriesOf(folder: string): string[] {
  try {
    return readdirSync(folder);
  } catch {
    return [];
  }
}

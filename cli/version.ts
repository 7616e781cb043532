import { readFileSync } from 'node:fs';

/** The version in this package's package.json, found from the sources and from `dist` alike. */
export function packageVersion(): string {
  for (const candidate of ['../package.json', '../../package.json']) {
    try {
      const text = readFileSync(new URL(candidate, import.meta.url), 'utf8');
      const { name, version } = JSON.parse(text) as { name?: string; version?: string };
      if (name === 'outlierscope' && version !== undefined) return version;
    } catch {
      // Not at this depth: try the next.
    }
  }
  return '0.0.0-unknown';
}

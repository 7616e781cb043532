/** Builds the package into dist: the compiled modules with their types, the bundled page, the lock of the native backends. */
import { execFile } from 'node:child_process';
import { existsSync } from 'node:fs';
import { chmod, cp, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { buildPage } from './build-page.ts';

const run = promisify(execFile);
const root = fileURLToPath(new URL('..', import.meta.url));
const at = (...parts: string[]): string => join(root, ...parts);

const started = performance.now();
await rm(at('dist'), { recursive: true, force: true });
try {
  await Promise.all([compile(), buildPage(at('dist/server/page')), copyIfPresent('cli/native/lock')]);
  if (existsSync(at('dist/cli/main.js'))) await chmod(at('dist/cli/main.js'), 0o755);
  console.log(`built dist in ${((performance.now() - started) / 1000).toFixed(1)} s`);
} catch (error) {
  console.error(error instanceof Error ? error.message : error);
  process.exitCode = 1;
}

/** tsc writes nothing but JavaScript, declarations and source maps; assets are copied beside it. */
async function compile(): Promise<void> {
  try {
    await run(process.execPath, [at('node_modules/typescript/bin/tsc'), '-p', at('tsconfig.build.json')], {
      cwd: root,
    });
  } catch (error) {
    const { stdout = '', stderr = '' } = error as { stdout?: string; stderr?: string };
    throw new Error(`tsc -p tsconfig.build.json failed:\n${stdout}${stderr}`.trimEnd(), { cause: error });
  }
}

async function copyIfPresent(folder: string): Promise<void> {
  if (existsSync(at(folder))) await cp(at(folder), at('dist', folder), { recursive: true });
}

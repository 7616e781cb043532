import { spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterEach, beforeEach, expect, test } from 'vitest';

const VITEST = fileURLToPath(new URL('../../node_modules/vitest/vitest.mjs', import.meta.url));
const REPORTER = fileURLToPath(new URL('./reporter.ts', import.meta.url));
const REQUIRE = fileURLToPath(new URL('./require-components.ts', import.meta.url));
let folder = '';

beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'outlierscope-reporter-'));
});
afterEach(() => rmSync(folder, { recursive: true, force: true }));

test('the last line counts what passed', () => {
  expect(lastLines({ 'a.test.js': `test('one', () => {}); test('two', () => {});` })).toEqual(['2 passed, 0 failed']);
});

test('the last line counts failures, what does not load or set up, and skips, which are named before it', () => {
  const files = {
    'a.test.js': `test('one', () => {}); test('two', () => { throw new Error('no'); }); test.skip('three', () => {});`,
    'b.test.js': `throw new Error('does not load');`,
    'c.test.js': `
      describe('set-up', () => {
        beforeAll(() => { throw new Error('no'); });
        test('never runs', () => {});
        test.skip('four', () => {});
      });`,
  };
  const skipped = ['skipped: three', 'skipped: set-up > four'];
  const [last, ...before] = lastLines(files, 3).reverse();
  expect(before.sort()).toEqual(skipped.sort()); // the files may end in any order
  expect(last).toBe('1 passed, 4 failed, 2 skipped'); // two(), b, set-up and what it held up
});

test('a run without tests, or whose set-up fails, is a failure', () => {
  expect(lastLines({})).toEqual(['0 passed, 1 failed']);
  const files = {
    'vitest.config.js': `export default { test: { globalSetup: './setup.js' } };`,
    'setup.js': `throw new Error('no build');`,
    'a.test.js': `test('one', () => {});`,
  };
  expect(lastLines(files)).toEqual(['0 passed, 1 failed']);
});

test('what is missing is a named skip, and with CI=true a failure', () => {
  const files = {
    'a.test.js': `
      import { describeUnless } from ${JSON.stringify(REQUIRE)};
      describeUnless('not found: nginx')('behind a proxy', () => { throw new Error('the body runs'); });
      describeUnless(undefined)('alone', () => { test('serves', () => {}); });`,
  };
  const skipped = ['skipped: behind a proxy > not found: nginx', '1 passed, 0 failed, 1 skipped'];
  expect(lastLines(files, 2, { CI: '' })).toEqual(skipped);
  expect(lastLines(files, 1, { CI: 'true' })).toEqual(['1 passed, 1 failed']);
});

/** Runs vitest over these files with the reporter beside the default one, as the project does; gives its last lines. */
function lastLines(files: Record<string, string>, count = 1, env: Record<string, string> = {}): string[] {
  for (const [name, text] of Object.entries(files)) writeFileSync(join(folder, name), text);
  const args = ['run', '--root', folder, '--globals', '--reporter', 'default', '--reporter', REPORTER];
  const { stdout, stderr } = spawnSync(process.execPath, [VITEST, ...args], {
    cwd: folder,
    encoding: 'utf8',
    env: { ...process.env, ...env },
  });
  const lines = stdout.split('\n');
  expect(lines.pop(), stderr).toBe('');
  return lines.slice(-count);
}

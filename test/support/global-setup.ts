/** Before all tests: builds the package once, since the end-to-end tests import what users will install. */
import { spawnSync } from 'node:child_process';
import { fileURLToPath } from 'node:url';

export default function buildPackage(): void {
  const root = fileURLToPath(new URL('../..', import.meta.url));
  const args = ['run', '--silent', 'build'];
  const { status, signal, error } = spawnSync('npm', args, { cwd: root, stdio: 'inherit' });
  if (status === 0) return;
  const how = error?.message ?? `it ended with ${signal ?? `code ${status}`}`;
  throw new Error(
    `the package could not be built before the tests: ${how}. Run 'npm run build' and mend what it says.`,
  );
}

/** Names what was skipped, and ends the output with the counts alone on a line, for continuous integration to read. */
import type { SerializedError } from 'vitest';
import type { Reporter, TestCase, TestModule, TestRunEndReason } from 'vitest/node';

export interface Counts {
  passed: number;
  failed: number;
  skipped: number;
}

export default class CountsReporter implements Reporter {
  /** A run that never gets as far as its end, because its set-up failed, counts as one failure. */
  #lines = [countsLine({ passed: 0, failed: 1, skipped: 0 })];

  onInit(): void {
    // On exit, since only then nothing else is printed after it. Standard output is synchronous where tests run.
    process.once('exit', () => process.stdout.write(`${this.#lines.join('\n')}\n`));
  }

  onTestRunEnd(
    modules: readonly TestModule[],
    unhandledErrors: readonly SerializedError[],
    reason: TestRunEndReason,
  ): void {
    const counts = countTests(modules);
    counts.failed += unhandledErrors.length;
    // Never a clean line for a run that vitest itself does not call passed: interrupted, or no test file found.
    if (reason !== 'passed' && counts.failed === 0) counts.failed = 1;
    this.#lines = [...skippedNames(modules).map((name) => `skipped: ${name}`), countsLine(counts)];
  }
}

export function countsLine({ passed, failed, skipped }: Counts): string {
  return `${passed} passed, ${failed} failed${skipped > 0 ? `, ${skipped} skipped` : ''}`;
}

function countTests(modules: readonly TestModule[]): Counts {
  const counts: Counts = { passed: 0, failed: 0, skipped: 0 };
  for (const module of modules) {
    // A file or a describe block can fail by itself: it does not load, or its beforeAll throws.
    const containers = [module, ...module.children.allSuites()];
    counts.failed += containers.filter((container) => container.errors().length > 0).length;
    for (const test of module.children.allTests()) {
      const { state } = test.result();
      if (state === 'passed') counts.passed++;
      else if (state === 'skipped' && !isHeldUp(test)) counts.skipped++;
      else counts.failed++; // among them what is still pending: it never finished
    }
  }
  return counts;
}

/** Whether a test should have run but did not, because what stands around it failed. vitest calls that skipped too. */
function isHeldUp(test: TestCase): boolean {
  if (test.options.mode === 'skip' || test.options.mode === 'todo') return false;
  let container = test.parent;
  while (container.type === 'suite' && container.errors().length === 0) container = container.parent;
  return container.errors().length > 0;
}

function skippedNames(modules: readonly TestModule[]): string[] {
  const skipped = modules.flatMap((module) => [...module.children.allTests('skipped')]);
  return skipped.filter((test) => !isHeldUp(test)).map((test) => test.fullName);
}

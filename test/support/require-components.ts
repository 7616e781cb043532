/** Tests of real components: run where these are; else one failure (CI=true) or one skip says what is missing. */
import { describe, test } from 'vitest';
import { type ComponentName, missingComponents, missingComponentsMessage } from './components.ts';

export type DescribeBlock = (title: string, body: () => void) => void;

/**
 * A `describe` for tests that need real components.
 * @example requireComponents(['prometheus', 'chromium'])('the page', () => { test(...) });
 */
export function requireComponents(names: readonly ComponentName[]): DescribeBlock {
  const missing = missingComponents(names);
  return describeUnless(missing.length === 0 ? undefined : missingComponentsMessage(missing));
}

/** A `describe` whose tests stand in for themselves by one failure (CI=true) or one skip, named by what is missing. */
export function describeUnless(missing: string | undefined): DescribeBlock {
  if (missing === undefined) return (title, body) => void describe(title, body);
  return (title) =>
    // The body is not run: it may rely at once on what is missing.
    void describe(title, () => {
      test.skipIf(process.env.CI !== 'true')(missing, () => {
        throw new Error(`${title}: ${missing}. With CI=true every real component has to be there.`);
      });
    });
}

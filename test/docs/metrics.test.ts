import { readFile } from 'node:fs/promises';
import { expect, test } from 'vitest';
import { metricsFile, metricsPage } from '../../scripts/docs.ts';

test('docs/metrics.md is what scripts/docs.ts writes: run npx tsx scripts/docs.ts', async () => {
  expect(await readFile(metricsFile, 'utf8')).toBe(metricsPage());
});

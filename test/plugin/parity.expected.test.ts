/** The expected numbers of the parity tests, where they are not test/reference itself. */
import { describe, expect, test } from 'vitest';
import { siteMetrics } from '../../src/catalogue.ts';
import { cases } from '../reference/inputs.ts';
import * as reference from '../reference/metrics.ts';
import * as expected from './parity-expected.ts';

test('every metric of the catalogue has a formula', () => {
  const { activationFormulas, gradientFormulas, attentionFormulas } = expected;
  const names = [activationFormulas, gradientFormulas, attentionFormulas].flatMap((formulas) => Object.keys(formulas));
  expect(names.toSorted()).toEqual(siteMetrics.map(({ name }) => name).toSorted());
});

describe('the sums for large matrices give what the definitions give', () => {
  const finite = cases.filter(({ data }) => data.every(Number.isFinite));
  test.each(finite)('$name', ({ data, rows, width }) => {
    const matrix = reference.toMatrix(data, rows, width);
    const sums = expected.gramSums(matrix);
    for (const [actual, defined] of [
      [expected.inputCorrelation(matrix), reference.inputCorrelation(matrix)],
      [expected.inputCorrelationRms(sums), reference.inputCorrelationRms(matrix)],
      [expected.featureCorrelationRms(sums), reference.featureCorrelationRms(matrix)],
      [expected.effectiveRank(sums), reference.effectiveRank(matrix)],
    ] as const) {
      if (Number.isNaN(defined)) expect(actual).toBeNaN();
      else expect(Math.abs(actual - defined)).toBeLessThanOrEqual(1e-12 * Math.max(1, Math.abs(defined)));
    }
  });
});

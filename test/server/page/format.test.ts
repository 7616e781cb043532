import { expect, test } from 'vitest';
import {
  formatAgo,
  formatCount,
  formatShare,
  formatTick,
  formatValue,
  metricLabel,
} from '../../../server/page/format.ts';

test.each([
  [8.2134, '8.21'],
  [1, '1'],
  [0, '0'],
  [0.0132, '0.0132'],
  [0.00001, '1e-5'],
  [-0.000123, '-1.2e-4'],
  [574.32, '574'],
  [12_345.6, '12,346'],
  [3_210_000, '3.2e6'],
  [Number.NaN, 'NaN'],
  [Number.POSITIVE_INFINITY, 'Infinity'],
  [Number.NEGATIVE_INFINITY, '-Infinity'],
  [Number.MAX_VALUE, 'Infinity'],
  [null, '–'],
  [undefined, '–'],
])('the value %s reads %s', (value, text) => {
  expect(formatValue(value)).toBe(text);
});

test.each([
  [12_345, '12,345'],
  [0, '0'],
  [null, '–'],
])('the count %s reads %s', (value, text) => {
  expect(formatCount(value)).toBe(text);
});

test.each([
  [0.3, '0.3'],
  [1.5, '1.5'],
  [2000, '2000'],
  [20_000, '20k'],
  [1e-5, '1e-5'],
  [0, '0'],
])('the tick %s reads %s', (value, text) => {
  expect(formatTick(value)).toBe(text);
});

test.each([
  [0.31, '31 %'],
  [0.008, '0.8 %'],
  [0.0996, '10 %'],
  [1, '100 %'],
])('the share %s reads %s', (share, text) => {
  expect(formatShare(share)).toBe(text);
});

test.each([
  [500, 'now'],
  [-3000, 'now'],
  [12_400, '12 s ago'],
  [200_000, '3 min ago'],
  [7_300_000, '2 h ago'],
  [200_000_000, '2 d ago'],
])('%i ms are %s', (milliseconds, text) => {
  expect(formatAgo(milliseconds)).toBe(text);
});

test('metrics are named in words', () => {
  expect(metricLabel('max_median_ratio')).toBe('Max median ratio');
  expect(metricLabel('rms')).toBe('RMS');
});

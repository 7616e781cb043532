import { expect, test } from 'vitest';
import { createPeaks } from '../../server/peaks.ts';
import { afterHello } from '../../server/run-record.ts';
import { frameOf, helloOf, site } from './trainer.ts';

const { description } = afterHello(undefined, helloOf('r'), 0);
const minute = 60_000;

test('hold the largest value of each site for the window, and not much longer', () => {
  const peaks = createPeaks(minute);
  peaks.observe(description, frameOf(0, { values: [500, 1, 2, 1] }), 1000);
  peaks.observe(description, frameOf(1, { values: [3, 1, 7, 1] }), 30_000);
  expect([peaks.largest(0, 30_000), peaks.largest(1, 30_000)]).toEqual([500, 7]);
  expect(peaks.largest(0, 1000 + minute)).toBe(500);
  expect(peaks.largest(0, 1000 + minute + minute / 6)).toBe(3);
  expect(peaks.largest(0, 30_000 + minute + minute / 6)).toBeNaN();
});

test('are the same however often they are read', () => {
  const peaks = createPeaks(minute);
  peaks.observe(description, frameOf(0, { kurtosis: 9 }), 5000);
  for (let second = 0; second < 60; second++) expect(peaks.largest(0, 5000 + second * 1000)).toBe(9);
});

test('go on over many windows', () => {
  const peaks = createPeaks(6000);
  for (let second = 0; second < 1000; second++) {
    peaks.observe(description, frameOf(second, { kurtosis: 1000 - second }), second * 1000);
    // 6 s back at least, 7 s at most: those of the sub-windows of a second that began since.
    expect(peaks.largest(0, second * 1000)).toBe(1000 - Math.max(0, second - 6));
  }
});

test('leave out what is no number, and hold what is infinite', () => {
  const peaks = createPeaks(minute);
  peaks.observe(description, frameOf(0, { values: [Number.NaN, 1, Infinity, 1] }), 0);
  expect([peaks.largest(0, 0), peaks.largest(1, 0)]).toEqual([Number.NaN, Infinity]);
  peaks.observe(description, frameOf(1, { values: [-4, 1, Number.NaN, 1] }), 0);
  expect([peaks.largest(0, 0), peaks.largest(1, 0)]).toEqual([-4, Infinity]);
});

test('grow with the sites that are declared', () => {
  const peaks = createPeaks(minute);
  peaks.observe(description, frameOf(0, { kurtosis: 30 }), 0);
  const sites = [...description.sites, site('late'), site('later')];
  peaks.observe({ ...description, sites }, frameOf(1, { values: [1, 1, 2, 1, 3, 1, 4, 1] }), 20_000);
  expect([0, 1, 2, 3, 4].map((each) => peaks.largest(each, 20_000))).toEqual([30, 2, 3, 4, Number.NaN]);
});

test('are none where kurtosis is not measured', () => {
  const peaks = createPeaks(minute);
  peaks.observe({ ...description, metrics: ['rms', 'absmax'] }, frameOf(0), 0);
  expect(peaks.largest(0, 0)).toBeNaN();
});

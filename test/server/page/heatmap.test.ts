import { describe, expect, test } from 'vitest';
import { columnRanges, createPainter, paint, rowSites } from '../../../server/page/heatmap-image.ts';
import { guttersFor, layOut, siteAt, stepAt, xOf } from '../../../server/page/layout.ts';
import { type Series, stepDomain } from '../../../server/page/series.ts';

const steps = (count: number): number[] => Array.from({ length: count }, (_, index) => index * 5);

describe('pixel columns', () => {
  test('show one step each where steps are wide, each step as wide as the others', () => {
    const three = steps(3);
    const columns = columnRanges(three, stepDomain(three), 30);
    expect(columns.map(([first]) => first)).toEqual([...Array(10).fill(0), ...Array(10).fill(1), ...Array(10).fill(2)]);
    expect(columns.every(([first, last]) => first === last)).toBe(true);
  });

  test.each([100, 150, 199, 1000, 5000])('leave out none of %i steps on 100 pixels', (count) => {
    const many = steps(count);
    const shown = new Set<number>();
    for (const [first, last] of columnRanges(many, stepDomain(many), 100))
      for (let index = first; index <= last; index++) shown.add(index);
    expect(shown.size).toBe(count);
  });
});

describe('image', () => {
  const scale = { kind: 'log', from: 1, to: 100 } as const;
  const painter = createPainter(scale, 'dark');
  const seriesOf = (values: Series['values']): Series => ({
    metric: 'kurtosis',
    steps: steps(values[0]?.length ?? 0),
    sites: values.map((_, site) => `site ${site}`),
    values,
    scalars: {},
  });

  test('has a colour for each value, none for what was not measured, and apart ones for what is no number', () => {
    const colours = [1, 10, 100, Number.NaN, Number.POSITIVE_INFINITY, null].map(painter);
    expect(new Set(colours).size).toBe(6);
    expect(painter(null)).toBe(0);
    expect(painter(1000)).toBe(painter(100));
    for (const colour of colours.slice(0, -1)) expect(colour >>> 24).toBe(255);
  });

  test('puts the first site on top and the first step left', () => {
    const image = paint(
      seriesOf([
        [1, 2],
        [3, 4],
      ]),
      [
        [0, 0],
        [1, 1],
      ],
      2,
      'higher',
      painter,
    );
    expect([...image]).toEqual([1, 2, 3, 4].map(painter));
  });

  test('shows the worst of the values behind a pixel', () => {
    const series = seriesOf([
      [1, 50, 2, 3],
      [1, 1, 1, Number.NaN],
    ]);
    expect([...paint(series, [[0, 3]], 2, 'higher', painter)]).toEqual([painter(50), painter(Number.NaN)]);
    expect([...paint(series, [[0, 2]], 1, 'higher', painter)]).toEqual([painter(50)]);
    expect([...paint(series, [[1, 3]], 2, 'lower', painter)]).toEqual([painter(2), painter(Number.NaN)]);
  });

  test.each([
    [13, 13],
    [1000, 640],
    [4096, 640],
  ])('shows each of %i sites in one of %i rows', (sites, rows) => {
    const shown = new Set<number>();
    for (let row = 0; row < rows; row++) {
      const [first, last] = rowSites(sites, rows, row);
      for (let site = first; site <= last; site++) shown.add(site);
    }
    expect(shown.size).toBe(sites);
  });
});

describe('layout', () => {
  const layout = layOut(1000, 13, steps(100), guttersFor(1000, 70));

  test('maps steps and sites to places and back', () => {
    for (const step of [0, 5, 250, 495]) expect(stepAt(layout, xOf(layout, step))).toBeCloseTo(step, 9);
    for (const site of [0, 6, 12])
      expect(siteAt(layout, 13, layout.plot.top + (site + 0.5) * layout.rowHeight)).toBe(site);
    expect(siteAt(layout, 13, layout.plot.top - 1)).toBeNull();
    expect(siteAt(layout, 13, layout.plot.top + layout.plot.height + 1)).toBeNull();
  });

  test.each([1, 13, 17, 60, 640, 4096])('keeps %i sites within a screen', (sites) => {
    const { height, rows, rowHeight } = layOut(1000, sites, steps(10), guttersFor(1000, 70));
    expect(height).toBeLessThanOrEqual(700);
    expect(rows * rowHeight).toBeGreaterThanOrEqual(Math.min(sites, 400));
  });
});

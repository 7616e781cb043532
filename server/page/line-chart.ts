/** The chosen metric over steps, one line a site, coloured by depth. */
import uPlot from 'uplot';
import { siteMetric } from '../../src/catalogue.ts';
import {
  axis,
  type ChartEvents,
  commonOptions,
  drawable,
  extent,
  followCursor,
  onWidth,
  stepAxis,
  stepScale,
} from './chart.ts';
import { depthColour, toCss } from './colours.ts';
import { element } from './dom.ts';
import { formatCount, formatTick, formatValue } from './format.ts';
import { chartHeight, guttersFor } from './layout.ts';
import { type Scale, type ScaleKind, scaleKindOf, ticksOf } from './scale.ts';
import { closestIndex, type Series } from './series.ts';
import type { Cursor, Store, View } from './state.ts';
import { onThemeChange, theme, widestLabel } from './theme.ts';
import { createTooltip } from './tooltip.ts';
import type { Value } from './types.ts';

/** More lines than this are no picture; of a deeper model the sites with the largest values are drawn. */
export const mostLines = 48;

const source = 'metric-chart';

/** Indices of the sites to draw, in depth order. Pure. */
export function sitesToDraw({ values }: Series, most: number): number[] {
  const all = values.map((_, site) => site);
  if (all.length <= most) return all;
  const largest = values.map((row) => extent([drawable(row, 'any')])?.[1] ?? Number.NEGATIVE_INFINITY);
  return all
    .toSorted((a, b) => (largest[b] as number) - (largest[a] as number))
    .slice(0, most)
    .sort((a, b) => a - b);
}

export function createLineChart(host: HTMLElement, store: Store, events: ChartEvents): View {
  const root = element('div', { class: 'chart', role: 'img' });
  host.append(root);
  const tooltip = createTooltip(root);
  let plot: uPlot | undefined;
  let drawn: number[] = [];
  let shape = '';
  let width = 0;

  function rebuild(series: Series): void {
    plot?.destroy();
    const kind = scaleKindOf(series.metric, siteMetric(series.metric)?.unit);
    const gutters = guttersFor(width, widestLabel(series.sites));
    const size = { width, height: chartHeight(width) };
    const options = commonOptions(store, source, events, size, (line) => drawn[line - 1] ?? null);
    plot = new uPlot(
      {
        ...options,
        padding: [10, gutters.right, 0, 0],
        focus: { alpha: 0.22 },
        cursor: { ...options.cursor, focus: { prox: 24 } },
        scales: { x: stepScale(() => store.get().series?.steps ?? []), y: valueScale(kind) },
        axes: [stepAxis('unlabelled'), valueAxis(kind, gutters.left)],
        series: [{}, ...drawn.map((site) => lineOf(site, series.sites.length))],
      },
      dataOf(series, kind),
      root,
    );
  }

  function dataOf(series: Series, kind: ScaleKind): uPlot.AlignedData {
    return [
      [...series.steps],
      ...drawn.map((site) => drawable(series.values[site] as readonly Value[], kind === 'log' ? 'log' : 'any')),
    ];
  }

  function update(): void {
    const { series } = store.get();
    root.hidden = series === undefined;
    if (series === undefined || width === 0) return;
    drawn = sitesToDraw(series, mostLines);
    root.setAttribute(
      'aria-label',
      `${series.metric.replaceAll('_', ' ')} over steps, one line for each of ${drawn.length} sites; the values are in the table below`,
    );
    const wanted = `${series.metric} ${width} ${drawn.join()}`;
    if (plot === undefined || wanted !== shape) rebuild(series);
    else plot.setData(dataOf(series, scaleKindOf(series.metric, siteMetric(series.metric)?.unit)));
    shape = wanted;
  }

  function point(cursor: Cursor | undefined, isNewData: boolean): void {
    const { series } = store.get();
    if (plot === undefined || series === undefined) return;
    const line = cursor?.site == null ? -1 : drawn.indexOf(cursor.site);
    if (cursor?.source !== source || isNewData) followCursor(plot, series, cursor, line < 0 ? null : line + 1);
    if (cursor?.source !== source || cursor.site === null) tooltip.hide();
    else queueMicrotask(() => describe(series, cursor.step, cursor.site as number)); // with followCursor, on the new scale
  }

  function describe({ metric, steps, sites, values }: Series, step: number, site: number): void {
    if (plot === undefined) return;
    const value = values[site]?.[closestIndex(steps, step)] ?? null;
    const x = plot.valToPos(step, 'x') + plot.bbox.left / uPlot.pxRatio;
    const y = value === null || !Number.isFinite(value) ? 0 : plot.valToPos(value, 'y');
    tooltip.show(x, y + 10, sites[site] ?? '', [
      ['step', formatCount(step)],
      [metric.replaceAll('_', ' '), formatValue(value)],
    ]);
  }

  root.addEventListener('dblclick', () => events.zoom(undefined));
  onWidth(root, (now) => {
    width = now;
    update();
  });
  onThemeChange(() => {
    shape = '';
    update();
  });

  return ({ cursor }, changes) => {
    if (changes.has('series')) update();
    if (changes.has('cursor') || changes.has('series')) point(cursor, changes.has('series'));
  };
}

function lineOf(site: number, sites: number): uPlot.Series {
  const colour = toCss(depthColour(sites < 2 ? 1 : site / (sites - 1), theme().ground));
  return { stroke: colour, width: sites > 24 ? 1 : 1.5, points: { show: false }, spanGaps: false };
}

function valueScale(kind: ScaleKind): uPlot.Scale {
  if (kind === 'linear')
    return {
      range: (_, least, most) =>
        least === null || most === null ? [0, 1] : [Math.min(0, least), Math.max(most * 1.05, 0.1)],
    };
  if (kind === 'counts') return { distr: 4, asinh: 1, range: (_, __, most) => [0, Math.max(10, (most ?? 0) * 1.2)] };
  return {
    distr: 3,
    range: (_, least, most) => {
      if (least === null || most === null) return [1, 10];
      // At least a third of an octave, so that a flat line stays flat.
      return [least / 1.06, Math.max(most * 1.08, least * 1.25)];
    },
  };
}

function valueAxis(kind: ScaleKind, size: number): uPlot.Axis {
  const scale = (from: number, to: number): Scale => ({ kind, from, to });
  return axis({
    scale: 'y',
    size,
    splits: (plot, _, from, to) => ticksOf(scale(from, to), Math.max(3, plot.height / 34)),
    filter: (_, splits) => splits,
    values: (_, splits) => splits.map(formatTick),
  });
}

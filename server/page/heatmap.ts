/** The heatmap, sites by steps: the one picture that shows where in the model outliers grow, and when. */
import { siteMetric } from '../../src/catalogue.ts';
import { element, fitCanvas } from './dom.ts';
import { formatCount, formatValue } from './format.ts';
import { drawHeatmap, drawPointer, type HeatmapPicture } from './heatmap-draw.ts';
import { guttersFor, layOut, siteAt, stepAt, xOf } from './layout.ts';
import { createLegend } from './legend.ts';
import { colourScale } from './scale.ts';
import { closestIndex, type Series } from './series.ts';
import type { Cursor, PageState, Store, View } from './state.ts';
import { onThemeChange, theme, widestLabel } from './theme.ts';
import { createTooltip } from './tooltip.ts';

/** `legendHost` takes the legend, beside the picture's title. */
export function createHeatmap(host: HTMLElement, legendHost: HTMLElement, store: Store): View {
  const base = element('canvas', { role: 'img' });
  const pointer = element('canvas', { class: 'pointer', 'aria-hidden': 'true' });
  const plot = element(
    'div',
    {
      class: 'heatmap',
      tabindex: '0',
      role: 'group',
      'aria-label': 'Heatmap. Arrow keys move between steps and sites, Enter pins a step, Escape lets go.',
    },
    [base, pointer],
  );
  const tooltip = createTooltip(plot);
  const legend = createLegend();
  host.append(plot);
  legendHost.append(legend.root);

  let picture: HeatmapPicture | undefined;
  let width = 0;

  function redraw(): void {
    const state = store.get();
    picture = state.series === undefined || width === 0 ? undefined : pictureOf(state, state.series, width);
    plot.hidden = picture === undefined;
    if (picture === undefined) return;
    const context = fitCanvas(base, width, picture.layout.height);
    if (context !== undefined) drawHeatmap(context, picture);
    base.setAttribute('aria-label', describe(state, picture.series));
    legend.update(picture);
    point();
  }

  function point(): void {
    const { cursor, pinned } = store.get();
    if (picture === undefined) return;
    const context = fitCanvas(pointer, width, picture.layout.height);
    if (context !== undefined) drawPointer(context, picture, cursor, pinned);
    if (cursor?.source !== 'heatmap' || cursor.site === null) {
      tooltip.hide();
      return;
    }
    const { layout, series } = picture;
    const y = layout.plot.top + ((cursor.site + 0.5) * layout.plot.height) / series.sites.length;
    tooltip.show(xOf(layout, cursor.step), y, series.sites[cursor.site] ?? '', rowsAt(series, cursor));
  }

  function pointAt(event: PointerEvent): void {
    if (picture === undefined) return;
    const box = plot.getBoundingClientRect();
    const { layout, series } = picture;
    const [x, y] = [event.clientX - box.left, event.clientY - box.top];
    const isInside = x >= layout.plot.left && x <= layout.plot.left + layout.plot.width;
    const step = series.steps[closestIndex(series.steps, stepAt(layout, x))];
    const site = siteAt(layout, series.sites.length, y);
    store.set({
      cursor: isInside && site !== null && step !== undefined ? { step, site, source: 'heatmap' } : undefined,
    });
  }

  plot.addEventListener('pointermove', pointAt);
  plot.addEventListener('pointerdown', pointAt);
  plot.addEventListener('pointerleave', () => store.set({ cursor: undefined }));
  plot.addEventListener('blur', () => store.set({ cursor: undefined }));
  plot.addEventListener('click', () => pin(store));
  plot.addEventListener('keydown', (event) => {
    if (picture !== undefined && followKey(store, picture.series, event.key)) event.preventDefault();
  });
  new ResizeObserver(([entry]) => {
    width = Math.floor(entry?.contentRect.width ?? 0);
    redraw();
  }).observe(host);
  onThemeChange(redraw);

  return (_, changes) => {
    if (changes.has('series') || changes.has('alerts')) redraw();
    else if (changes.has('cursor') || changes.has('pinned')) point();
  };
}

function pictureOf({ run, alerts }: PageState, series: Series, width: number): HeatmapPicture {
  const known = siteMetric(series.metric);
  const gutters = guttersFor(width, widestLabel(series.sites));
  return {
    layout: layOut(width, series.sites.length, series.steps, gutters),
    series,
    scale: colourScale(series.metric, known?.unit, series.values.flat()),
    worse: known?.worse ?? 'higher',
    alerts: alerts.filter(({ runId }) => runId === run?.id),
    theme: theme(),
  };
}

function rowsAt({ metric, steps, values, scalars }: Series, { step, site }: Cursor): [string, string][] {
  const index = closestIndex(steps, step);
  const rows: [string, string][] = [
    ['step', formatCount(step)],
    [metric.replaceAll('_', ' '), formatValue(values[site ?? 0]?.[index])],
  ];
  for (const [name, label] of [
    ['loss', 'loss'],
    ['learning_rate', 'learning rate'],
  ] as const) {
    if (scalars[name] !== undefined) rows.push([label, formatValue(scalars[name][index])]);
  }
  return rows;
}

/** What the picture says, for those who do not see it; the numbers are in the tables below it. */
function describe({ metric, run }: PageState, { sites, steps }: Series): string {
  const span = steps.length === 0 ? 'no steps yet' : `steps ${formatCount(steps[0])} to ${formatCount(steps.at(-1))}`;
  const peak =
    metric === 'kurtosis' && run?.peak
      ? `; highest ${String(run.peak.value)} at ${run.peak.site}, step ${run.peak.step}`
      : '';
  return `Heatmap of ${metric.replaceAll('_', ' ')}: ${sites.length} sites from the first to the last layer, ${span}${peak}`;
}

function pin(store: Store): void {
  const { cursor, pinned } = store.get();
  store.set({ pinned: cursor === undefined || cursor.step === pinned ? undefined : cursor.step });
}

function followKey(store: Store, { steps, sites }: Series, key: string): boolean {
  const { cursor } = store.get();
  const index = cursor === undefined ? steps.length - 1 : closestIndex(steps, cursor.step);
  const site = cursor?.site ?? sites.length - 1;
  const moves: Record<string, readonly [number, number]> = {
    ArrowLeft: [index - 1, site],
    ArrowRight: [index + 1, site],
    ArrowUp: [index, site - 1],
    ArrowDown: [index, site + 1],
    Home: [0, site],
    End: [steps.length - 1, site],
  };
  const move = moves[key];
  if (move !== undefined) {
    const step = steps[Math.min(Math.max(move[0], 0), steps.length - 1)];
    if (step !== undefined)
      store.set({ cursor: { step, site: Math.min(Math.max(move[1], 0), sites.length - 1), source: 'heatmap' } });
  } else if (key === 'Enter' || key === ' ') pin(store);
  else if (key === 'Escape') store.set({ cursor: undefined, pinned: undefined });
  else return false;
  return true;
}

/** What both line charts share: a uPlot that fills its host, follows the common cursor and zooms the common range. */
import uPlot from 'uplot';
import { formatTick } from './format.ts';
import { mostStepTicks } from './layout.ts';
import { ticksOf } from './scale.ts';
import { closestIndex, type Series, stepDomain } from './series.ts';
import type { Cursor, Store } from './state.ts';
import { theme } from './theme.ts';
import type { StepRange, Value } from './types.ts';

export interface ChartEvents {
  zoom(range: StepRange | undefined): void;
}

/** An axis over the given scale; colours are functions, so that a change of theme only needs a redraw. */
export function axis(options: uPlot.Axis): uPlot.Axis {
  return {
    font: theme().font,
    stroke: () => theme().muted,
    grid: { stroke: () => theme().line, width: 1 },
    ticks: { show: false },
    border: { show: false },
    gap: 8,
    ...options,
  };
}

/** The step axis; without labels where another chart with the same axis follows below. */
export function stepAxis(labels: 'labelled' | 'unlabelled'): uPlot.Axis {
  return axis({
    scale: 'x',
    size: labels === 'labelled' ? 26 : 8,
    gap: 6,
    splits: (plot, _, from, to) =>
      ticksOf({ kind: 'linear', from, to }, mostStepTicks(plot.bbox.width / uPlot.pxRatio)).filter(Number.isInteger),
    values: (_, splits) => splits.map((step) => (labels === 'labelled' ? formatTick(step) : '')),
  });
}

/**
 * Options without series, scales and axes. `source` names the chart in the cursor that it sets, `siteOf` says which site a series shows.
 * uPlot also moves its cursor by itself, with new data; only what the pointer does counts as the reader's.
 */
export function commonOptions(
  store: Store,
  source: Cursor['source'],
  events: ChartEvents,
  size: { width: number; height: number },
  siteOf: (series: number) => number | null = () => null,
): Omit<uPlot.Options, 'series' | 'axes' | 'scales'> {
  let isPointerAtWork = false;
  let pointed: number | null = null;
  const watched = (_: uPlot, __: HTMLElement, handler: uPlot.Cursor.MouseListener): uPlot.Cursor.MouseListener => {
    return (event) => {
      isPointerAtWork = true;
      handler(event);
      isPointerAtWork = false;
      return null;
    };
  };
  return {
    ...size,
    legend: { show: false },
    cursor: {
      drag: { x: true, y: false, setScale: false, dist: 6 },
      y: false,
      // Onto the closest step, as in the heatmap.
      move: (plot, left, top) => [left < 0 ? left : plot.valToPos(plot.data[0]?.[plot.posToIdx(left)] ?? 0, 'x'), top],
      points: { size: 7, width: 1.5, one: true },
      bind: { mousemove: watched, mouseleave: watched },
    },
    select: { show: true, left: 0, top: 0, width: 0, height: 0 },
    hooks: {
      // Comes before setCursor, when the pointer comes close to another line.
      setSeries: [
        (_, index) => {
          if (isPointerAtWork) pointed = index === null ? null : siteOf(index);
        },
      ],
      setCursor: [
        (plot) => {
          if (!isPointerAtWork) return;
          const { idx, left = -1 } = plot.cursor;
          const step = idx == null || left < 0 ? undefined : plot.data[0]?.[idx];
          store.set({ cursor: step === undefined ? undefined : { step, site: pointed, source } });
        },
      ],
      setSelect: [
        (plot) => {
          const { left, width } = plot.select;
          const [from, to] = [plot.posToVal(left, 'x'), plot.posToVal(left + width, 'x')];
          if (width > 0) events.zoom({ from: Math.max(0, Math.round(from)), to: Math.round(to) });
          plot.setSelect({ left: 0, top: 0, width: 0, height: 0 }, false);
        },
      ],
    },
  };
}

export function stepScale(steps: () => readonly number[]): uPlot.Scale {
  return { time: false, range: () => [...stepDomain(steps())] as [number, number] };
}

/**
 * Moves a chart's cursor to the step that the reader points at, wherever that is, and highlights a line (null for none).
 * Without events, so that it does not come back as the reader's doing.
 */
export function followCursor(plot: uPlot, { steps }: Series, cursor: Cursor | undefined, line: number | null): void {
  const step = cursor === undefined ? undefined : steps[closestIndex(steps, cursor.step)];
  // After uPlot has taken over data given to it just now, which it does in a microtask: until then the old scale holds.
  queueMicrotask(() => {
    const top = Math.max(0, plot.cursor.top ?? 0);
    plot.setCursor(step === undefined ? { left: -10, top: -10 } : { left: plot.valToPos(step, 'x'), top }, false);
    plot.setSeries(line, { focus: line !== null }, false);
  });
}

/** What uPlot can draw of a row: a gap where the value is no number, or none that the scale can show. */
export function drawable(row: readonly Value[], kind: 'log' | 'any'): (number | null)[] {
  return row.map((value) =>
    value === null || !Number.isFinite(value) || (kind === 'log' && value <= 0) ? null : value,
  );
}

/** The ends of the finite values of some rows; undefined where there are none. */
export function extent(rows: Iterable<readonly (number | null)[]>): readonly [least: number, most: number] | undefined {
  let [least, most] = [Number.POSITIVE_INFINITY, Number.NEGATIVE_INFINITY];
  for (const row of rows) {
    for (const value of row) {
      if (value === null) continue;
      if (value < least) least = value;
      if (value > most) most = value;
    }
  }
  return least <= most ? [least, most] : undefined;
}

/** Calls back with a host's width whenever it changes. */
export function onWidth(host: HTMLElement, callback: (width: number) => void): void {
  let last = 0;
  new ResizeObserver(([entry]) => {
    const width = Math.floor(entry?.contentRect.width ?? 0);
    if (width === last || width === 0) return;
    last = width;
    callback(width);
  }).observe(host);
}

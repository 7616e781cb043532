/** Where things lie in the heatmap, in CSS pixels. The charts below use the same gutters, so that one step is one vertical line. Pure. */
import { stepDomain } from './series.ts';

/** Left: site names and y axes. Right: values, and the axis of the learning rate. */
export interface Gutters {
  readonly left: number;
  readonly right: number;
}

export function guttersFor(width: number, widestLabel: number): Gutters {
  const isNarrow = width < 560;
  return { left: Math.round(Math.min(Math.max(widestLabel + 18, 52), isNarrow ? 84 : 168)), right: isNarrow ? 44 : 60 };
}

export interface HeatmapLayout {
  readonly width: number;
  readonly height: number;
  readonly plot: { readonly left: number; readonly top: number; readonly width: number; readonly height: number };
  /** Image rows; fewer than sites where not even a pixel is left for each. */
  readonly rows: number;
  readonly rowHeight: number;
  readonly domain: readonly [from: number, to: number];
}

/** How many labels a step axis of this width has room for; the same for all pictures, so that their grids agree. */
export function mostStepTicks(width: number): number {
  return Math.max(4, width / 90);
}

/** Above the plot: the strip of alerts. */
export const stripHeight = 14;
const axisHeight = 24;
const tallestPlot = 640;

/** Height of a chart of this width. */
export function chartHeight(width: number): number {
  return Math.round(Math.min(320, Math.max(180, width * 0.22)));
}

export function layOut(
  width: number,
  sites: number,
  steps: readonly number[],
  { left, right }: Gutters,
): HeatmapLayout {
  const rows = Math.min(sites, tallestPlot);
  const rowHeight = sites <= 16 ? (width < 1200 ? 20 : 26) : Math.max(1, Math.min(16, Math.floor(tallestPlot / sites)));
  return {
    width,
    height: stripHeight + rows * rowHeight + axisHeight,
    plot: { left, top: stripHeight, width: Math.max(1, width - left - right), height: rows * rowHeight },
    rows,
    rowHeight,
    domain: stepDomain(steps),
  };
}

export function xOf({ plot, domain: [from, to] }: HeatmapLayout, step: number): number {
  return plot.left + ((step - from) / (to - from)) * plot.width;
}

export function stepAt({ plot, domain: [from, to] }: HeatmapLayout, x: number): number {
  return from + ((x - plot.left) / plot.width) * (to - from);
}

/** The site at a height of the heatmap, null outside of the plot. */
export function siteAt({ plot }: HeatmapLayout, sites: number, y: number): number | null {
  const row = Math.floor(((y - plot.top) / plot.height) * sites);
  return row >= 0 && row < sites ? row : null;
}

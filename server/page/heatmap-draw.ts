/** Draws the heatmap: cells, site names, step axis, alerts; and over them, where the reader points. */
import { formatTick, formatValue } from './format.ts';
import { columnRanges, createPainter, paint, rowSites } from './heatmap-image.ts';
import { type HeatmapLayout, mostStepTicks, stripHeight, xOf } from './layout.ts';
import { type Scale, ticksOf } from './scale.ts';
import { closestIndex, type Series } from './series.ts';
import type { Cursor } from './state.ts';
import type { Theme } from './theme.ts';
import type { Alert, Value } from './types.ts';

export interface HeatmapPicture {
  readonly layout: HeatmapLayout;
  readonly series: Series;
  readonly scale: Scale;
  readonly worse: 'higher' | 'lower' | 'either';
  readonly alerts: readonly Alert[];
  readonly theme: Theme;
}

const image = document.createElement('canvas');

export function drawHeatmap(context: CanvasRenderingContext2D, picture: HeatmapPicture): void {
  context.font = picture.theme.font;
  drawCells(context, picture);
  drawSites(context, picture);
  drawSteps(context, picture);
  drawAlerts(context, picture);
}

function drawCells(context: CanvasRenderingContext2D, { layout, series, scale, worse, theme }: HeatmapPicture): void {
  const { plot, rows, rowHeight, domain } = layout;
  if (rows === 0) return;
  const columns = columnRanges(
    series.steps,
    domain,
    Math.max(1, Math.round(plot.width * (window.devicePixelRatio || 1))),
  );
  const pixels = paint(series, columns, rows, worse, createPainter(scale, theme.ground));
  image.width = columns.length;
  image.height = rows;
  image.getContext('2d')?.putImageData(new ImageData(new Uint8ClampedArray(pixels.buffer), columns.length, rows), 0, 0);
  context.imageSmoothingEnabled = false;
  context.drawImage(image, plot.left, plot.top, plot.width, plot.height);
  if (rowHeight < 8) return;
  context.fillStyle = theme.panel;
  for (let row = 1; row < rows; row++) context.fillRect(plot.left, plot.top + row * rowHeight - 0.5, plot.width, 1);
}

function drawSites(
  context: CanvasRenderingContext2D,
  { layout: { plot, rows, rowHeight }, series, theme }: HeatmapPicture,
): void {
  context.fillStyle = theme.muted;
  context.textAlign = 'right';
  context.textBaseline = 'middle';
  const every = Math.max(1, Math.ceil(13 / rowHeight));
  for (let row = 0; row < rows; row += every) {
    const [site] = rowSites(series.sites.length, rows, row);
    const y = plot.top + (row + 0.5) * rowHeight;
    context.fillText(fitText(context, series.sites[site] ?? '', plot.left - 14), plot.left - 8, y);
  }
}

function drawSteps(context: CanvasRenderingContext2D, { layout, theme }: HeatmapPicture): void {
  const { plot, domain } = layout;
  const bottom = plot.top + plot.height;
  context.textAlign = 'center';
  context.textBaseline = 'top';
  for (const step of ticksOf({ kind: 'linear', from: domain[0], to: domain[1] }, mostStepTicks(plot.width))) {
    if (!Number.isInteger(step)) continue;
    context.fillStyle = theme.line;
    context.fillRect(Math.round(xOf(layout, step)), bottom + 1, 1, 4);
    context.fillStyle = theme.muted;
    context.fillText(formatTick(step), xOf(layout, step), bottom + 8);
  }
}

/** A bar for as long as an alert fired, with a mark where it began. */
function drawAlerts(context: CanvasRenderingContext2D, { layout, alerts, theme }: HeatmapPicture): void {
  const { plot } = layout;
  const right = plot.left + plot.width;
  context.save();
  context.beginPath();
  context.rect(plot.left - 5, 0, plot.width + 10, stripHeight);
  context.clip();
  for (const alert of alerts.toReversed()) {
    const start = xOf(layout, alert.startedStep);
    const end = alert.state === 'firing' ? right : xOf(layout, alert.step);
    context.fillStyle = theme[alert.severity];
    context.globalAlpha = alert.state === 'firing' ? 1 : 0.55;
    context.fillRect(start, stripHeight - 6, Math.max(2, end - start), 3);
    context.beginPath();
    context.moveTo(start - 4.5, stripHeight - 12);
    context.lineTo(start + 4.5, stripHeight - 12);
    context.lineTo(start, stripHeight - 3);
    context.fill();
  }
  context.restore();
}

/** Marks the pointed-at cell and the pinned step, and writes every site's value at the pointed-at (or last) step beside its row. */
export function drawPointer(
  context: CanvasRenderingContext2D,
  picture: HeatmapPicture,
  cursor: Cursor | undefined,
  pinned: number | undefined,
): void {
  const { layout, series, theme } = picture;
  const { plot, rows, rowHeight } = layout;
  const { steps, sites } = series;
  context.font = theme.font;
  if (pinned !== undefined) dashedLine(context, xOf(layout, pinned), plot.top - 3, plot.top + plot.height, theme.text);
  const index = cursor === undefined ? steps.length - 1 : closestIndex(steps, cursor.step);
  const step = steps[index];
  if (step === undefined) return;
  if (cursor !== undefined) {
    const left = Math.max(plot.left, xOf(layout, (step + (steps[index - 1] ?? 2 * layout.domain[0] - step)) / 2));
    const right = Math.min(
      plot.left + plot.width,
      xOf(layout, (step + (steps[index + 1] ?? 2 * layout.domain[1] - step)) / 2),
    );
    context.fillStyle = theme.text;
    context.globalAlpha = 0.75;
    context.fillRect(xOf(layout, step) - 0.5, plot.top, 1, plot.height);
    context.globalAlpha = 1;
    if (cursor.site !== null) {
      const row = Math.floor((cursor.site * rows) / sites.length);
      context.strokeStyle = theme.text;
      context.lineWidth = 1.5;
      context.strokeRect(left - 1, plot.top + row * rowHeight - 0.5, Math.max(3, right - left) + 2, rowHeight);
    }
  }
  if (rowHeight < 11) return;
  context.textAlign = 'right';
  context.textBaseline = 'middle';
  for (let site = 0; site < sites.length; site++) {
    const value: Value = series.values[site]?.[index] ?? null;
    context.fillStyle = cursor?.site === site ? theme.text : theme.muted;
    context.fillText(formatValue(value), layout.width - 4, plot.top + (site + 0.5) * rowHeight);
  }
}

function dashedLine(context: CanvasRenderingContext2D, x: number, top: number, bottom: number, colour: string): void {
  context.save();
  context.strokeStyle = colour;
  context.setLineDash([3, 3]);
  context.beginPath();
  context.moveTo(x, top);
  context.lineTo(x, bottom);
  context.stroke();
  context.restore();
}

/** The end of a text that is too long: of `model/h11/attention` the tail says more than the head. */
function fitText(context: CanvasRenderingContext2D, text: string, width: number): string {
  if (context.measureText(text).width <= width) return text;
  const characters = [...text.slice(-80)];
  while (characters.length > 1 && context.measureText(`…${characters.join('')}`).width > width) characters.shift();
  return `…${characters.join('')}`;
}

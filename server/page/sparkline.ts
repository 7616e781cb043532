/** A run's worst kurtosis as a line the height of a word, logarithmic; what is no number is a mark at the top. */
import { fitCanvas } from './dom.ts';
import { theme } from './theme.ts';
import type { Value } from './types.ts';

const width = 68;
const height = 20;

export function drawSparkline(canvas: HTMLCanvasElement, values: readonly Value[]): void {
  const context = fitCanvas(canvas, width, height);
  if (context === undefined || values.length < 2) return;
  const logs = values.map((value) =>
    value !== null && value > 0 && Number.isFinite(value) ? Math.log(value) : undefined,
  );
  // From no outliers (1) to at least 4, so that a healthy run is a flat line at the bottom.
  const top = logs.reduce<number>((most, value) => Math.max(most, value ?? 0), Math.log(4));
  const xOf = (index: number): number => 1 + (index / (values.length - 1)) * (width - 3);
  context.beginPath();
  for (const [index, value] of logs.entries()) {
    if (value === undefined) continue;
    const y = height - 2 - (Math.max(0, value) / top) * (height - 5);
    if (logs[index - 1] === undefined) context.moveTo(xOf(index), y);
    else context.lineTo(xOf(index), y);
  }
  context.strokeStyle = theme().muted;
  context.lineWidth = 1.25;
  context.lineJoin = 'round';
  context.stroke();
  context.fillStyle = theme().critical;
  for (const [index, value] of values.entries()) {
    if (value !== null && !Number.isFinite(value)) context.fillRect(xOf(index) - 0.5, 1, 1.5, 3);
  }
}

/** Loss and learning rate over the same steps as the metric above: what the training did when the outliers came. */
import uPlot from 'uplot';
import {
  axis,
  type ChartEvents,
  commonOptions,
  drawable,
  followCursor,
  onWidth,
  stepAxis,
  stepScale,
} from './chart.ts';
import { element } from './dom.ts';
import { formatTick } from './format.ts';
import { chartHeight, guttersFor } from './layout.ts';
import { ticksOf } from './scale.ts';
import type { Series } from './series.ts';
import type { Store, View } from './state.ts';
import { onThemeChange, theme, widestLabel } from './theme.ts';

const source = 'training-chart';

export function createTrainingChart(host: HTMLElement, store: Store, events: ChartEvents): View {
  const root = element('div', { class: 'chart', role: 'img', 'aria-label': 'Loss and learning rate over steps' });
  host.append(root);
  let plot: uPlot | undefined;
  let shape = '';
  let width = 0;

  function update(): void {
    const { series } = store.get();
    root.hidden = series === undefined;
    if (series === undefined || width === 0) return;
    const { left, right } = guttersFor(width, widestLabel(series.sites));
    const wanted = `${width} ${left}`;
    if (plot !== undefined && wanted === shape) {
      plot.setData(dataOf(series));
      return;
    }
    shape = wanted;
    plot?.destroy();
    plot = new uPlot(
      {
        ...commonOptions(store, source, events, { width, height: Math.round(chartHeight(width) * 0.64) }),
        padding: [8, 0, 0, 0],
        scales: {
          x: stepScale(() => store.get().series?.steps ?? []),
          loss: { range: (_, least, most) => padded(least, most) },
          rate: { range: (_, __, most) => [0, most === null || most <= 0 ? 1 : most * 1.1] },
        },
        axes: [
          stepAxis('labelled'),
          axis({
            scale: 'loss',
            size: left,
            splits: (_, __, from, to) => linear(from, to),
            filter: (_, splits) => splits,
            values: labels,
          }),
          axis({
            scale: 'rate',
            side: 1,
            size: right,
            grid: { show: false },
            splits: (_, __, from, to) => linear(from, to),
            values: labels,
          }),
        ],
        series: [
          {},
          { scale: 'loss', stroke: () => theme().text, width: 1.5, points: { show: false } },
          { scale: 'rate', stroke: () => theme().muted, width: 1.25, dash: [4, 3], points: { show: false } },
        ],
      },
      dataOf(series),
      root,
    );
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

  return ({ cursor, series }, changes) => {
    if (changes.has('series')) update();
    const isOwn = cursor?.source === source && !changes.has('series');
    if (plot === undefined || series === undefined || isOwn) return;
    if (changes.has('cursor') || changes.has('series')) followCursor(plot, series, cursor, null);
  };
}

function dataOf({ steps, scalars }: Series): uPlot.AlignedData {
  const row = (name: string): (number | null)[] => drawable(scalars[name] ?? steps.map(() => null), 'any');
  return [[...steps], row('loss'), row('learning_rate')];
}

function padded(least: number | null, most: number | null): [number, number] {
  if (least === null || most === null) return [0, 1];
  const room = Math.max((most - least) * 0.08, Math.abs(most) * 0.01, 1e-9);
  return [least - room, most + room];
}

const linear = (from: number, to: number): number[] => ticksOf({ kind: 'linear', from, to }, 5);
const labels = (_: uPlot, splits: number[]): string[] => splits.map(formatTick);

/** The selected run: header, alerts, pictures, tables. Only puts the parts in their places. */
import { createAlertHistory, createFiringAlerts } from './alerts.ts';
import { depthColour, toCss } from './colours.ts';
import type { Controller } from './controller.ts';
import { element, setText } from './dom.ts';
import { formatCount, metricLabel } from './format.ts';
import { createHeatmap } from './heatmap.ts';
import { createLineChart, mostLines } from './line-chart.ts';
import { createMetricPicker } from './metric-picker.ts';
import { createRunHeader } from './run-header.ts';
import type { Store, View } from './state.ts';
import { createStepTables } from './step-tables.ts';
import { onThemeChange, theme } from './theme.ts';
import { createTrainingChart } from './training-chart.ts';

export function createRunView(host: HTMLElement, store: Store, controller: Controller): void {
  const section = (name: string, label?: string): HTMLElement =>
    element('section', { class: name, 'aria-label': label });
  const header = section('run-header', 'Run');
  const firing = section('firing', 'Firing alerts');
  firing.setAttribute('role', 'status');
  const picker = section('picker', 'Metric');
  const pictures = section('panel pictures', 'Charts');
  const neurons = section('panel', 'Top outlier neurons');
  const values = section('panel', 'Values');
  const alerts = section('panel', 'Alerts');
  const pictureHead = element('header', { class: 'panel-head' });
  const heatmap = element('div', { class: 'heatmap-host' });
  const lineHead = element('header', { class: 'panel-head' });
  const lines = element('div');
  const trainingHead = element('header', { class: 'panel-head' }, [
    element('h2', {}, ['Loss']),
    element('span', { class: 'key solid' }, ['loss, left axis']),
    element('span', { class: 'key dashed' }, ['learning rate, right axis']),
  ]);
  const training = element('div');
  pictures.append(pictureHead, heatmap, lineHead, lines, trainingHead, training);
  host.append(
    header,
    firing,
    picker,
    element('div', { class: 'run-grid' }, [
      pictures,
      element('div', { class: 'run-tables' }, [neurons, values, alerts]),
    ]),
  );

  const events = { zoom: controller.zoom };
  const views: readonly View[] = [
    createRunHeader(header),
    createFiringAlerts(firing),
    createMetricPicker(picker, controller.selectMetric),
    createPictureHeads(pictureHead, lineHead, controller),
    createHeatmap(heatmap, pictureHead, store),
    createLineChart(lines, store, events),
    createTrainingChart(training, store, events),
    createStepTables(neurons, values),
    createAlertHistory(alerts, store),
  ];
  store.subscribe((state, changes) => {
    host.hidden = state.selected === undefined || state.connection.kind === 'unauthorised';
    if (!host.hidden) for (const view of views) view(state, changes);
  });
}

function createPictureHeads(heatmap: HTMLElement, lines: HTMLElement, controller: Controller): View {
  const title = element('h2');
  const span = element('span', { class: 'count' });
  const whole = element('button', { type: 'button', class: 'chip' });
  whole.addEventListener('click', () => controller.zoom(undefined));
  heatmap.append(title, span, element('span', { class: 'hint' }, ['click to pin a step']), whole);

  const ramp = element('span', { class: 'ramp', 'aria-hidden': 'true' });
  const [first, last] = [element('span'), element('span')];
  const cut = element('span', { class: 'count' });
  lines.append(
    element('h2', {}, ['By site']),
    cut,
    element('span', { class: 'hint' }, ['drag to zoom']),
    element('span', { class: 'depth-key' }, [first, ramp, last]),
  );
  const paintRamp = (): void => {
    const stops = [0, 0.25, 0.5, 0.75, 1].map((depth) => toCss(depthColour(depth, theme().ground)));
    ramp.style.background = `linear-gradient(to right, ${stops.join(', ')})`;
  };
  paintRamp();
  onThemeChange(paintRamp);

  return ({ series, range, metric }, changes) => {
    if (!changes.has('series') && !changes.has('range') && !changes.has('metric')) return;
    const sites = series?.sites ?? [];
    setText(title, metricLabel(metric));
    setText(
      span,
      series === undefined ? '' : `${formatCount(sites.length)} sites × ${formatCount(series.steps.length)} steps`,
    );
    whole.hidden = range === undefined;
    setText(whole, range === undefined ? '' : `Steps ${formatCount(range.from)} – ${formatCount(range.to)}, show all`);
    setText(first, sites[0] ?? '');
    setText(last, sites.at(-1) ?? '');
    setText(cut, sites.length > mostLines ? `the ${mostLines} sites with the largest values` : '');
  };
}

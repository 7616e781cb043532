/** The numbers of one step as tables: every metric at every site, and the neurons that hold most of each site's energy. */
import { siteMetric } from '../../src/catalogue.ts';
import { element, setText } from './dom.ts';
import { formatCount, formatShare, formatValue, metricLabel } from './format.ts';
import { isWorse, toValue } from './series.ts';
import type { PageState, View } from './state.ts';
import type { FrameView, RunDetail, TopNeuron, Value } from './types.ts';

/** Deeper models than this are cut: the heatmap is their overview. */
const mostRows = 400;
const mostNeurons = 4;

export function createStepTables(neuronsHost: HTMLElement, valuesHost: HTMLElement): View {
  const neurons = panel(neuronsHost, 'Top outlier neurons', 'neurons');
  const values = panel(valuesHost, 'Values', 'values');
  return (state, changes) => {
    if (!(['run', 'latest', 'inspected', 'metric', 'pinned', 'cursor'] as const).some((key) => changes.has(key)))
      return;
    const frame = state.inspected ?? state.latest;
    for (const each of [neurons, values]) setText(each.step, frame === undefined ? '' : stepLabel(state, frame));
    if (state.run === undefined || frame === undefined) {
      for (const { table } of [neurons, values]) table.replaceChildren();
      return;
    }
    if (frame === neurons.shown && state.metric === values.metric) return;
    neurons.shown = frame;
    values.metric = state.metric;
    neurons.table.replaceChildren(...neuronRows(state.run, frame));
    values.table.replaceChildren(...valueRows(state.run, frame, state.metric));
  };
}

interface Panel {
  readonly step: HTMLElement;
  readonly table: HTMLTableElement;
  shown?: FrameView;
  metric?: string;
}

function panel(host: HTMLElement, title: string, name: string): Panel {
  const step = element('span', { class: 'count' });
  const table = element('table', { class: name });
  const scroller = element('div', { class: 'scroller', tabindex: '0', role: 'region', 'aria-label': title }, [table]);
  host.append(element('header', { class: 'panel-head' }, [element('h2', {}, [title]), step]), scroller);
  return { step, table };
}

function stepLabel({ inspected, pinned, cursor }: PageState, { step }: FrameView): string {
  if (inspected === undefined) return `step ${formatCount(step)}, latest`;
  return `step ${formatCount(step)}${cursor === undefined && pinned !== undefined ? ', pinned' : ''}`;
}

interface Column {
  readonly label: string;
  readonly title?: string | undefined;
  readonly chosen?: boolean;
}

function head(columns: readonly Column[]): HTMLElement {
  const cells = columns.map(({ label, title, chosen }) =>
    element('th', { scope: 'col', title, class: chosen ? 'chosen' : undefined }, [label]),
  );
  return element('thead', {}, [element('tr', {}, cells)]);
}

function neuronRows({ sites }: RunDetail, { topNeurons }: FrameView): HTMLElement[] {
  const most = Math.min(
    mostNeurons,
    topNeurons.reduce((count, list) => Math.max(count, list.length), 0),
  );
  if (most === 0)
    return [
      element('tbody', {}, [
        element('tr', {}, [element('td', { class: 'quiet' }, ['This run sends no top neurons.'])]),
      ]),
    ];
  const ordinals = ['1st', '2nd', '3rd', '4th'].slice(0, most);
  const rows = sites
    .slice(0, mostRows)
    .map((site, index) =>
      element('tr', {}, [
        element('th', { scope: 'row', title: `${site.path}, ${formatCount(site.width)} neurons` }, [site.name]),
        ...ordinals.map((_, place) => element('td', {}, neuronCell(topNeurons[index]?.[place]))),
      ]),
    );
  const columns = ordinals.map((label) => ({
    label,
    title: "a neuron's index, and its share of the energy of the site",
  }));
  return [head([{ label: 'Site' }, ...columns]), element('tbody', {}, rows)];
}

function neuronCell(top: TopNeuron | undefined): (Node | string)[] {
  if (top === undefined) return ['–'];
  const fill = element('i', { 'aria-hidden': 'true' });
  fill.style.width = `${Math.min(100, Math.max(0, top.share * 100))}%`;
  return [
    element('span', { class: 'neuron' }, [
      element('span', { class: 'index' }, [String(top.neuron)]),
      element('b', {}, [formatShare(top.share)]),
    ]),
    element('span', { class: 'share-bar' }, [fill]),
  ];
}

function valueRows({ sites, metrics }: RunDetail, { values }: FrameView, chosen: string): HTMLElement[] {
  const worst = new Map(
    metrics.map((metric) => [
      metric,
      worstOf((values[metric] ?? []).map(toValue), siteMetric(metric)?.worse ?? 'higher'),
    ]),
  );
  const rows = sites.slice(0, mostRows).map((site, index) =>
    element('tr', {}, [
      element('th', { scope: 'row', title: `${site.path}, ${site.kind}, ${formatCount(site.width)} neurons` }, [
        site.name,
      ]),
      ...metrics.map((metric) => {
        const value = toValue(values[metric]?.[index]);
        const classes = [
          metric === chosen ? 'chosen' : '',
          isBad(value) ? 'bad' : '',
          worst.get(metric) === index ? 'worst' : '',
        ];
        return element('td', { class: classes.filter(Boolean).join(' ') || undefined }, [formatValue(value)]);
      }),
    ]),
  );
  const columns = metrics.map((metric) => ({
    label: metricLabel(metric),
    title: siteMetric(metric)?.definition,
    chosen: metric === chosen,
  }));
  return [head([{ label: 'Site' }, ...columns]), element('tbody', {}, rows)];
}

function isBad(value: Value): boolean {
  return value !== null && !Number.isFinite(value);
}

/** Index of the worst value; -1 where all are alike or either direction may be bad. */
function worstOf(values: readonly Value[], worse: 'higher' | 'lower' | 'either'): number {
  if (worse === 'either' || values.every((value) => Object.is(value, values[0]))) return -1;
  let worst = 0;
  for (const [index, value] of values.entries()) if (isWorse(value, values[worst] ?? null, worse)) worst = index;
  return worst;
}

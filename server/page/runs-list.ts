/** The list of runs: newest first, each a link, with what one wants to know before opening it. */
import { element, setChildren, setText } from './dom.ts';
import { formatAgo, formatCount, formatValue } from './format.ts';
import { createGroupItem, type GroupItem } from './group-item.ts';
import { entriesOf } from './groups.ts';
import { toHash } from './location-hash.ts';
import { toValue } from './series.ts';
import { drawSparkline } from './sparkline.ts';
import type { View } from './state.ts';
import { setStateDot } from './state-dot.ts';
import { onThemeChange } from './theme.ts';
import type { RunSummary, Value } from './types.ts';

export function createRunsList(host: HTMLElement): View {
  const items = new Map<string, RunItem>();
  const groups = new Map<string, GroupItem>();
  const list = element('ul');
  host.append(list);
  onThemeChange(() => {
    for (const item of items.values()) item.repaint();
  });

  return ({ runs = [], selected, metric, sparklines }, changes) => {
    if (!(['runs', 'selected', 'metric', 'sparklines'] as const).some((key) => changes.has(key))) return;
    for (const run of runs) {
      const item = items.get(run.id) ?? createItem(run.id);
      items.set(run.id, item);
      item.update(run, run.id === selected, metric, sparklines.get(run.id));
    }
    const listed = new Set(runs.map(({ id }) => id));
    for (const id of items.keys()) if (!listed.has(id)) items.delete(id);
    const rootOf = ({ id }: RunSummary): HTMLElement => (items.get(id) as RunItem).root;
    const entries = entriesOf(runs);
    const names = new Set(entries.flatMap((entry) => (entry.kind === 'group' ? [entry.name] : [])));
    for (const name of groups.keys()) if (!names.has(name)) groups.delete(name);
    setChildren(
      list,
      entries.map((entry) => {
        if (entry.kind === 'run') return rootOf(entry.run);
        const group = groups.get(entry.name) ?? createGroupItem(entry.name);
        groups.set(entry.name, group);
        group.update(entry.runs, selected, entry.runs.map(rootOf));
        return group.root;
      }),
    );
  };
}

interface RunItem {
  readonly root: HTMLElement;
  update(run: RunSummary, isSelected: boolean, metric: string, line: readonly Value[] | undefined): void;
  repaint(): void;
}

function createItem(id: string): RunItem {
  const dot = element('span');
  const name = element('span', { class: 'run-name' });
  const firing = element('span', { class: 'badge', title: 'alerts firing' });
  const figures = element('span', { class: 'run-figures' });
  const canvas = element('canvas', { class: 'sparkline', 'aria-hidden': 'true' });
  const link = element('a', {}, [
    element('span', { class: 'run-title' }, [dot, name, firing]),
    element('span', { class: 'run-detail' }, [figures, canvas]),
  ]);
  let shown: readonly Value[] | undefined;
  return {
    root: element('li', {}, [link]),
    update(run, isSelected, metric, line) {
      setStateDot(dot, run.state);
      setText(name, run.tags['rank'] === undefined ? run.name : `${run.name} · rank ${run.tags['rank']}`);
      link.title = `${run.name}\nstarted ${formatAgo(Date.now() - run.startedAt)}, ${run.state}${tagsOf(run)}`;
      link.href = toHash({ run: id, metric });
      if (isSelected) link.setAttribute('aria-current', 'page');
      else link.removeAttribute('aria-current');
      setText(firing, run.firing > 0 ? String(run.firing) : '');
      firing.hidden = run.firing === 0;
      setFigures(figures, run);
      if (line === shown) return;
      shown = line;
      drawSparkline(canvas, line ?? []);
    },
    repaint: () => drawSparkline(canvas, shown ?? []),
  };
}

function tagsOf({ tags }: RunSummary): string {
  return Object.entries(tags)
    .map(([tag, value]) => `\n${tag}: ${value}`)
    .join('');
}

function setFigures(target: HTMLElement, { step, loss, worst }: RunSummary): void {
  const figures: readonly (readonly [label: string, value: string])[] = [
    ['step', formatCount(step)],
    ['loss', formatValue(toValue(loss))],
    ['kurtosis', formatValue(toValue(worst?.value ?? null))],
  ];
  for (const [index, [label, value]] of figures.entries()) {
    const figure =
      target.children[index] ?? target.appendChild(element('span', {}, [element('i', {}, [label]), element('b')]));
    setText(figure.lastElementChild as Element, value);
  }
}

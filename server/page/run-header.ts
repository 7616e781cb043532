/** The selected run at a glance: its name, its state, and the numbers that say whether it is well. */
import { element, setText } from './dom.ts';
import { formatAgo, formatCount, formatValue } from './format.ts';
import { toValue } from './series.ts';
import type { View } from './state.ts';
import { setStateDot } from './state-dot.ts';
import type { Extreme, RunSummary } from './types.ts';

const clockMs = 1_000;

export function createRunHeader(host: HTMLElement): View {
  const dot = element('span');
  const name = element('h1');
  const state = element('span');
  const tags = element('span', { class: 'tags' });
  const figures = element('dl', { class: 'figures' });
  host.append(
    element('div', { class: 'run-heading' }, [
      element('div', { class: 'run-title' }, [dot, name]),
      element('p', { class: 'run-state' }, [state, tags]),
    ]),
    figures,
  );

  const step = figure(figures, 'Step');
  const loss = figure(figures, 'Loss');
  const worst = figure(figures, 'Worst kurtosis');
  const peak = figure(figures, 'Peak kurtosis');
  const frames = figure(figures, 'Frames');
  const dropped = figure(figures, 'Dropped frames', 'warning');

  let shown: RunSummary | undefined;
  const tick = (): void => {
    if (shown !== undefined) setText(state, stateOf(shown));
  };
  setInterval(tick, clockMs);

  return ({ run, runs, selected }, changes) => {
    if (!changes.has('run') && !changes.has('runs') && !changes.has('selected')) return;
    shown = run ?? runs?.find(({ id }) => id === selected);
    host.hidden = shown === undefined;
    if (shown === undefined) return;
    setStateDot(dot, shown.state);
    setText(name, shown.name);
    tick();
    setTags(tags, shown);
    worst.root.className = shown.firing > 0 ? 'firing-figure' : '';
    step.set(formatCount(shown.step));
    loss.set(formatValue(toValue(shown.loss)));
    worst.set(...extreme(shown.worst, 'site'));
    peak.set(...extreme(shown.peak, 'site and step'));
    frames.set(formatCount(shown.frames));
    dropped.set(formatCount(shown.dropped));
    dropped.root.hidden = shown.dropped === 0;
  };
}

function figure(
  list: HTMLElement,
  label: string,
  kind?: string,
): { root: HTMLElement; set(value: string, note?: string): void } {
  const value = element('b');
  const note = element('span');
  const root = element('div', { class: kind }, [element('dt', {}, [label]), element('dd', {}, [value, note])]);
  list.append(root);
  return {
    root,
    set(text, remark = '') {
      setText(value, text);
      setText(note, remark);
    },
  };
}

function extreme(value: Extreme | null, detail: 'site' | 'site and step'): [string, string] {
  if (value === null) return ['–', ''];
  return [
    formatValue(toValue(value.value)),
    detail === 'site' ? value.site : `${value.site}, step ${formatCount(value.step)}`,
  ];
}

function stateOf({ state, startedAt, lastFrameAt }: RunSummary): string {
  const last = lastFrameAt === null ? 'no frame yet' : `last frame ${formatAgo(Date.now() - lastFrameAt)}`;
  return [state, `started ${formatAgo(Date.now() - startedAt)}`, last].join(' · ');
}

function setTags(target: HTMLElement, { tags }: RunSummary): void {
  const labels = Object.entries(tags).map(([tag, value]) => `${tag}=${value}`);
  if (labels.join('\n') === [...target.children].map(({ textContent }) => textContent).join('\n')) return;
  target.replaceChildren(...labels.map((label) => element('span', {}, [label])));
}

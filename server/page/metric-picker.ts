/** Chooses the metric that the pictures show, among all that the run measures, and says what it means. */
import { siteMetric } from '../../src/catalogue.ts';
import { element, setText } from './dom.ts';
import { metricLabel } from './format.ts';
import type { View } from './state.ts';

export function createMetricPicker(host: HTMLElement, choose: (metric: string) => void): View {
  const group = element('fieldset', { class: 'metrics' }, [element('legend', { class: 'unseen' }, ['Metric'])]);
  const definition = element('p', { class: 'definition', id: 'metric-definition' });
  host.append(group, definition);
  let offered: readonly string[] = [];

  return ({ run, metric }, changes) => {
    if (!changes.has('run') && !changes.has('metric')) return;
    const metrics = run?.metrics ?? [];
    host.hidden = metrics.length === 0;
    if (metrics.join() !== offered.join()) {
      offered = metrics;
      while (group.children.length > 1) group.lastElementChild?.remove();
      group.append(...metrics.map((each) => option(each, choose)));
    }
    for (const input of group.querySelectorAll('input')) input.checked = input.value === metric;
    describe(definition, metric);
  };
}

function option(metric: string, choose: (metric: string) => void): HTMLElement {
  const input = element('input', {
    type: 'radio',
    name: 'metric',
    value: metric,
    'aria-describedby': 'metric-definition',
  });
  input.addEventListener('change', () => choose(metric));
  const unit = siteMetric(metric)?.unit;
  const label = element('label', { title: siteMetric(metric)?.definition }, [
    input,
    element('span', {}, [metricLabel(metric)]),
  ]);
  if (unit !== undefined && unit !== 'ratio') label.append(element('small', {}, [unit]));
  return label;
}

function describe(target: HTMLElement, metric: string): void {
  const known = siteMetric(metric);
  if (known === undefined) setText(target, `${metric}: not in this version's catalogue`);
  else
    target.replaceChildren(
      element('code', {}, [known.definition]),
      element('span', {}, [`${known.unit} · ${known.reference}`]),
    );
}

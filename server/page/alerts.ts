/** Alerts of the selected run: those that fire stand out with why and what to do; the past ones are a table. */
import { element, setText } from './dom.ts';
import { formatCount, formatValue } from './format.ts';
import type { Store, View } from './state.ts';
import type { Alert } from './types.ts';

export function createFiringAlerts(host: HTMLElement): View {
  return ({ alerts }, changes) => {
    if (!changes.has('alerts')) return;
    const firing = alerts.filter(({ state }) => state === 'firing');
    host.hidden = firing.length === 0;
    host.replaceChildren(...firing.map(firingAlert));
  };
}

function firingAlert(alert: Alert): HTMLElement {
  return element('article', { class: `alert ${severityOf(alert)}` }, [
    element('header', {}, [
      element('span', { class: 'severity' }, [severityOf(alert)]),
      element('h3', {}, [alert.rule]),
      element('p', { class: 'facts' }, [
        element('span', {}, [alert.site]),
        element('span', {}, [`${alert.metric.replaceAll('_', ' ')} `, element('b', {}, [formatValue(alert.value)])]),
        element('span', {}, [`since step ${formatCount(alert.startedStep)}`]),
      ]),
    ]),
    element('p', { class: 'why' }, [alert.why]),
    element('p', { class: 'next' }, [element('b', {}, ['Next: ']), alert.next]),
  ]);
}

const columns = ['Severity', 'Rule', 'Site', 'Value', 'Steps', 'State'] as const;

export function createAlertHistory(host: HTMLElement, store: Store): View {
  const count = element('span', { class: 'count' });
  const body = element('tbody');
  const none = element('p', { class: 'quiet' }, ['No alert has fired in this run.']);
  const table = element('div', { class: 'scroller' }, [
    element('table', { class: 'alerts' }, [
      element('thead', {}, [
        element(
          'tr',
          {},
          columns.map((column) => element('th', { scope: 'col' }, [column])),
        ),
      ]),
      body,
    ]),
  ]);
  host.append(element('header', { class: 'panel-head' }, [element('h2', {}, ['Alerts']), count]), table, none);
  return ({ alerts }, changes) => {
    if (!changes.has('alerts')) return;
    setText(count, alerts.length === 0 ? '' : String(alerts.length));
    table.hidden = alerts.length === 0;
    none.hidden = alerts.length > 0;
    body.replaceChildren(...alerts.map((alert) => historyRow(alert, store)));
  };
}

function historyRow(alert: Alert, store: Store): HTMLElement {
  const show = element('button', { type: 'button', class: 'link', title: 'Show this step' }, [stepsOf(alert)]);
  show.addEventListener('click', () => store.set({ pinned: alert.startedStep }));
  return element('tr', { title: `${alert.summary}\n\n${alert.why}\n\nNext: ${alert.next}` }, [
    element('td', {}, [element('span', { class: `severity ${severityOf(alert)}` }, [severityOf(alert)])]),
    element('td', {}, [alert.rule]),
    element('td', { class: 'name' }, [alert.site]),
    element('td', { class: 'number' }, [formatValue(alert.value)]),
    element('td', { class: 'number' }, [show]),
    element('td', {}, [
      element('span', { class: `alert-state is-${alert.state === 'firing' ? 'firing' : 'resolved'}` }, [alert.state]),
    ]),
  ]);
}

function stepsOf(alert: Alert): string {
  const start = formatCount(alert.startedStep);
  return alert.state === 'firing' ? `${start} –` : `${start} – ${formatCount(alert.step)}`;
}

/** One of the three known ones: the name becomes a class of the style sheet. */
function severityOf({ severity }: Alert): string {
  return severity === 'critical' || severity === 'info' ? severity : 'warning';
}

/** A group in the list of runs: one entry that opens to its ranks. */
import { element, setChildren, setText } from './dom.ts';
import { formatCount, formatValue } from './format.ts';
import { isWorse, toValue } from './series.ts';
import { setStateDot } from './state-dot.ts';
import type { RunState, RunSummary, Value } from './types.ts';

export interface GroupItem {
  readonly root: HTMLElement;
  /** @param members The entries of the runs, in their order. */
  update(runs: readonly RunSummary[], selected: string | undefined, members: readonly HTMLElement[]): void;
}

/** What is worth a look comes first: the group is as well as its worst rank. */
const byConcern: readonly RunState[] = ['failed', 'silent', 'connected', 'finished'];

export function createGroupItem(name: string): GroupItem {
  const dot = element('span');
  const firing = element('span', { class: 'badge', title: 'ranks with alerts that fire' });
  const figures = element('span', { class: 'run-figures' });
  const list = element('ul');
  const details = element('details', { class: 'group' }, [
    element('summary', { title: `group: ${name}` }, [
      element('span', { class: 'run-title' }, [dot, element('span', { class: 'run-name' }, [name]), firing]),
      figures,
    ]),
    list,
  ]);
  let wasSelected = false;
  return {
    root: element('li', {}, [details]),
    update(runs, selected, members) {
      setStateDot(dot, byConcern.find((state) => runs.some((run) => run.state === state)) ?? 'silent');
      const alarmed = runs.filter((run) => run.firing > 0).length;
      setText(firing, alarmed > 0 ? String(alarmed) : '');
      firing.hidden = alarmed === 0;
      setText(figures, [`${formatCount(runs.length)} ranks`, stepsOf(runs), `kurtosis ${worstOf(runs)}`].join(' · '));
      setChildren(list, members);
      // A rank that is shown is not hidden; what the reader opens or closes after that stays.
      const isSelected = runs.some(({ id }) => id === selected);
      if (isSelected && !wasSelected) details.open = true;
      wasSelected = isSelected;
    },
  };
}

function stepsOf(runs: readonly RunSummary[]): string {
  const steps = runs.flatMap(({ step }) => (step === null ? [] : [step]));
  if (steps.length === 0) return 'no step yet';
  const [low, high] = [Math.min(...steps), Math.max(...steps)];
  return low === high ? `step ${formatCount(low)}` : `steps ${formatCount(low)} to ${formatCount(high)}`;
}

function worstOf(runs: readonly RunSummary[]): string {
  let worst: Value = null;
  for (const run of runs) {
    const value = toValue(run.worst?.value ?? null);
    if (isWorse(value, worst, 'higher')) worst = value;
  }
  return formatValue(worst);
}

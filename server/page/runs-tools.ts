/** Around the list of runs where it is long: a field to search by, and what is not listed. */
import { mostRuns } from './api.ts';
import type { Controller } from './controller.ts';
import { element, setText } from './dom.ts';
import { formatCount } from './format.ts';
import { initialState, type View } from './state.ts';

/** Between keys of a word. */
const typingMs = 200;

export function createRunsTools(searchHost: HTMLElement, moreHost: HTMLElement, controller: Controller): View {
  const field = element('input', { type: 'search', placeholder: 'Name or id', 'aria-label': 'Search runs' });
  const rest = element('p', { class: 'quiet' });
  const more = element('button', { type: 'button', class: 'link' }, ['Show more']);
  searchHost.append(field);
  moreHost.append(rest, more);
  let timer: number | undefined;
  field.addEventListener('input', () => {
    clearTimeout(timer);
    timer = setTimeout(() => controller.search(field.value.trim()), typingMs);
  });
  more.addEventListener('click', controller.listMore);

  return ({ runs = [], runsTotal, runsListed, search }, changes) => {
    if (!(['runs', 'runsTotal', 'runsListed', 'search'] as const).some((key) => changes.has(key))) return;
    searchHost.hidden = search === '' && runsTotal <= initialState.runsListed / 4;
    const hidden = Math.max(0, runsTotal - runs.length);
    moreHost.hidden = hidden === 0 && search === '';
    more.hidden = hidden === 0 || runsListed >= mostRuns;
    setText(rest, hidden > 0 ? `${formatCount(hidden)} more` : `${formatCount(runsTotal)} found`);
  };
}

/** A coloured dot for a run's state. */
import { element, setText } from './dom.ts';
import type { RunState } from './types.ts';

const stateClasses: ReadonlySet<string> = new Set<RunState>(['connected', 'silent', 'finished', 'failed']);

/** The dot, with the state's name for those who do not see it. */
export function setStateDot(dot: Element, state: string): void {
  dot.setAttribute('class', `dot ${stateClasses.has(state) ? state : 'silent'}`);
  dot.setAttribute('title', state);
  setText(dot.firstElementChild ?? dot.appendChild(element('span', { class: 'unseen' })), state);
}

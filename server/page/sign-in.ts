/** The form that signs in: the token goes to the server once, and stays nowhere in the page. */
import type { Controller } from './controller.ts';
import { element, setText } from './dom.ts';
import type { Connection } from './state.ts';

export interface SignIn {
  readonly root: HTMLElement;
  update(connection: Connection): void;
}

export function createSignIn(controller: Pick<Controller, 'signIn'>): SignIn {
  const input = element('input', {
    type: 'password',
    name: 'token',
    autocomplete: 'current-password',
    required: '',
    'aria-describedby': 'sign-in-note',
  });
  const button = element('button', { class: 'primary' }, ['Sign in']);
  const note = element('p', { id: 'sign-in-note', class: 'quiet', role: 'alert' });
  const root = element('form', { class: 'blank' }, [
    element('h2', {}, ['This server asks for a token']),
    element('p', {}, ['One of those it was started with, whose scope is read or admin.']),
    element('div', { class: 'field' }, [element('label', {}, ['Token ', input]), button]),
    note,
  ]);
  root.addEventListener('submit', async (event) => {
    event.preventDefault();
    const token = input.value.trim();
    input.value = '';
    button.disabled = true;
    setText(note, '');
    await controller.signIn(token);
    button.disabled = false;
  });
  return {
    root,
    update(connection) {
      const wasHidden = root.hidden;
      root.hidden = connection.kind !== 'unauthorised';
      if (connection.kind !== 'unauthorised') return;
      setText(note, connection.problem);
      if (wasHidden) input.focus();
    },
  };
}

/** What the page says when there is nothing to show: no runs, no server, no token; and the state of the live connection. */
import type { Controller } from './controller.ts';
import { element, setText } from './dom.ts';
import { createSignIn } from './sign-in.ts';
import type { Connection, PageState, Store } from './state.ts';

export function createConnectionState(host: HTMLElement, store: Store, controller: Controller): void {
  const dot = element('span', { class: 'dot', 'aria-hidden': 'true' });
  const text = element('span');
  const retry = element('button', { type: 'button', class: 'chip' }, ['Retry now']);
  retry.addEventListener('click', controller.retryNow);
  const signOut = element('button', { type: 'button', class: 'chip' }, ['Sign out']);
  signOut.addEventListener('click', () => void controller.signOut());
  host.append(dot, text, retry, signOut);
  const update = (): void => {
    const { connection, signedInAs } = store.get();
    dot.setAttribute(
      'class',
      `dot ${connection.kind === 'live' ? 'connected' : connection.kind === 'connecting' ? 'finished' : 'failed'}`,
    );
    setText(text, connectionText(connection));
    retry.hidden = connection.kind !== 'waiting';
    signOut.hidden = signedInAs === undefined;
    signOut.title = `Signed in with the token ${signedInAs ?? ''}`;
  };
  setInterval(update, 500);
  store.subscribe((_, changes) => {
    if (changes.has('connection') || changes.has('signedInAs')) update();
  });
}

function connectionText(connection: Connection): string {
  if (connection.kind === 'live') return 'Live';
  if (connection.kind === 'connecting') return 'Connecting';
  if (connection.kind === 'unauthorised') return 'Signed out';
  const seconds = Math.ceil((connection.retryAt - Date.now()) / 1000);
  return seconds > 0 ? `Reconnecting in ${seconds} s` : 'Reconnecting';
}

export function createNotices(host: HTMLElement, store: Store, controller: Controller): void {
  const problem = element('p', { class: 'notice', role: 'alert' });
  const form = createSignIn(controller);
  const unreachable = createUnreachable();
  const empty = createEmptyState();
  host.append(problem, form.root, unreachable, empty);
  store.subscribe((state, changes) => {
    if (!changes.has('connection') && !changes.has('runs') && !changes.has('problem') && !changes.has('selected'))
      return;
    const { connection, runs } = state;
    setText(problem, problemOf(state));
    problem.hidden = problem.textContent === '';
    form.update(connection);
    unreachable.hidden = !(runs === undefined && connection.kind === 'waiting');
    empty.hidden = !(runs?.length === 0 && state.selected === undefined && connection.kind !== 'unauthorised');
  });
}

function problemOf({ connection, runs, problem }: PageState): string {
  if (connection.kind === 'waiting' && runs !== undefined) {
    return 'The live connection is gone: what you see may be out of date. The page reconnects by itself and reads again what it missed.';
  }
  return problem === undefined ? '' : `The server could not answer: ${problem}`;
}

function createUnreachable(): HTMLElement {
  return element('section', { class: 'blank' }, [
    element('h2', {}, ['The server does not answer']),
    element('p', {}, [
      `Nothing answers at ${location.host}. Is `,
      element('code', {}, ['outlierscope serve']),
      ' running? The page keeps trying.',
    ]),
  ]);
}

/** The lines that a training needs, for this page's own server. */
export function exampleFor(host: string, protocol: string): string {
  return [
    "import { outlierMonitor } from 'outlierscope';",
    '',
    `const monitor = outlierMonitor({ url: '${protocol === 'https:' ? 'wss' : 'ws'}://${host}', run: 'my model' });`,
    'await model.fit(x, y, { epochs: 5, callbacks: [monitor] });',
    'await monitor.close();',
  ].join('\n');
}

function createEmptyState(): HTMLElement {
  const example = exampleFor(location.host, location.protocol);
  const copy = element('button', { type: 'button', class: 'chip' }, ['Copy']);
  copy.addEventListener('click', async () => {
    await navigator.clipboard.writeText(example);
    setText(copy, 'Copied');
  });
  copy.hidden = navigator.clipboard === undefined; // browsers offer it on https and on this machine only
  return element('section', { class: 'blank' }, [
    element('h2', {}, ['No runs yet']),
    element('p', {}, ['Add these lines to a training in TensorFlow.js. Its first frame shows up here by itself.']),
    element('div', { class: 'code' }, [element('pre', {}, [element('code', {}, [example])]), copy]),
    element('p', {}, ['Or watch a small transformer train: ', element('code', {}, ['npm run demo']), '.']),
  ]);
}

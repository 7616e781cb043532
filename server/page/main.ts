/** The live page: state, server and views, wired together. */
import { createController } from './controller.ts';
import { inspectPointedStep } from './inspection.ts';
import { createConnectionState, createNotices } from './notices.ts';
import { createRunView } from './run-view.ts';
import { createRunsList } from './runs-list.ts';
import { createRunsTools } from './runs-tools.ts';
import { readSparklines } from './sparklines.ts';
import { createStore, initialState } from './state.ts';

const byId = (id: string): HTMLElement => {
  const found = document.getElementById(id);
  if (found === null) throw new Error(`index.html lacks #${id}`);
  return found;
};

const store = createStore(initialState, (callback) => requestAnimationFrame(callback));
const controller = createController(store);

createConnectionState(byId('connection'), store, controller);
createNotices(byId('notices'), store, controller);
createRunView(byId('run'), store, controller);

const updateRunsList = createRunsList(byId('runs'));
const updateRunsTools = createRunsTools(byId('runs-search'), byId('runs-more'), controller);
store.subscribe((state, changes) => {
  byId('sidebar').hidden = (state.runs ?? []).length === 0 && state.search === '';
  updateRunsList(state, changes);
  updateRunsTools(state, changes);
  const run = state.runs?.find(({ id }) => id === state.selected);
  document.title =
    run === undefined ? 'outlierscope' : `${run.firing > 0 ? `(${run.firing}) ` : ''}${run.name} · outlierscope`;
});

inspectPointedStep(store);
readSparklines(store);
controller.start();

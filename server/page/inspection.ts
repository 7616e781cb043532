/** Fetches the frame of the step that the reader points at or pinned, shortly after the pointer rests. */
import { api } from './api.ts';
import type { Store } from './state.ts';
import type { FrameView } from './types.ts';

const restMs = 60;
const kept = 64;

export function inspectPointedStep(store: Store): void {
  const cache = new Map<string, FrameView>();
  let timer: number | undefined;
  let wanted: string | undefined;

  store.subscribe(({ selected, cursor, pinned, latest, inspected }, changes) => {
    if (!(['selected', 'cursor', 'pinned', 'latest'] as const).some((key) => changes.has(key))) return;
    const step = cursor?.step ?? pinned;
    clearTimeout(timer);
    wanted = undefined;
    if (selected === undefined || step === undefined || step === latest?.step) {
      if (inspected !== undefined) store.set({ inspected: undefined });
      return;
    }
    const key = `${selected} ${step}`;
    wanted = key;
    const known = cache.get(key);
    if (known !== undefined) return store.set({ inspected: known });
    timer = setTimeout(async () => {
      const frame = await api.frame(selected, step).catch(() => undefined); // the tables stay on the step before
      if (frame === undefined) return;
      cache.set(key, frame);
      const oldest = cache.keys().next().value;
      if (cache.size > kept && oldest !== undefined) cache.delete(oldest);
      if (wanted === key) store.set({ inspected: frame });
    }, restMs);
  });
}

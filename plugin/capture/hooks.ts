/**
 * Replaces `call` on a layer for a while. Several monitors share one replacement, so the order in which they leave does not
 * matter; and what somebody else put over it stays where it is.
 */
import type { LayerLike } from './parts.ts';

/** Done around a call: `run` makes it, and what comes back takes the place of its result. */
export type Around = (run: () => unknown, inputs: unknown, kwargs: unknown) => unknown;

interface Hook {
  readonly wrapper: LayerLike['call'];
  readonly around: Set<Around>;
  /** Puts back what was there before. */
  readonly restore: () => void;
}

/** The last hook of each layer that has any. */
const hooks = new WeakMap<LayerLike, Hook>();

/** Puts something around the calls of a layer; the function returned takes it away again. */
export function hookCall(layer: LayerLike, around: Around): () => void {
  const last = hooks.get(layer);
  // Where somebody wrapped the layer after us, ours may lie deep within theirs, or be lost: a new one goes over it.
  const hook = last?.wrapper === layer.call ? last : newHook(layer);
  hook.around.add(around);
  return () => {
    hook.around.delete(around);
    // Taking ours out from below somebody else's would take theirs out too; empty, it only passes on.
    if (hook.around.size > 0 || layer.call !== hook.wrapper) return;
    hook.restore();
    hooks.delete(layer);
  };
}

function newHook(layer: LayerLike): Hook {
  const own = Object.getOwnPropertyDescriptor(layer, 'call');
  const original = layer.call;
  const around = new Set<Around>();
  const wrapper = (...parameters: unknown[]): unknown => {
    const [inputs, kwargs] = parameters;
    let run = (): unknown => original.apply(layer, parameters);
    for (const each of around) {
      const inner = run;
      run = () => each(inner, inputs, kwargs);
    }
    return run();
  };
  const restore = (): void => {
    if (own === undefined) Reflect.deleteProperty(layer, 'call');
    else Object.defineProperty(layer, 'call', own);
  };
  layer.call = wrapper;
  const hook = { wrapper, around, restore };
  hooks.set(layer, hook);
  return hook;
}

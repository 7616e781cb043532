/**
 * Watches layers: on sampled steps their `call` is wrapped, on all other steps the model is as the user made it.
 */
import type * as tf from '@tensorflow/tfjs-core';
import { hookCall } from './hooks.ts';
import type { FoundLayer, Holder } from './layers.ts';
import { readableModelName } from './names.ts';
import { isLayer } from './parts.ts';
import { Places } from './places.ts';

/** A layer that is watched, and the name of its site. */
export interface WatchedLayer extends FoundLayer {
  readonly site: string;
  readonly measured: 'output' | 'attention only';
}

/** One call of a watched layer. */
export interface LayerCall {
  readonly watched: WatchedLayer;
  /** The site, with `#2` and so on for the further places of a shared layer. */
  readonly site: string;
  readonly inputs: unknown;
  readonly kwargs: unknown;
}

/** Gets a watched layer's output and gives back what takes its place. */
export type Observe = (call: LayerCall, output: tf.Tensor) => tf.Tensor;

export class Capture {
  private readonly watched = new Map<object, WatchedLayer>();
  private readonly sites = new Set<string>();
  /** What the sites of each model begin with: nothing, or its name and a '/'. */
  private readonly prefixes = new Map<object, string>();
  private unhook: (() => void)[] = [];

  get size(): number {
    return this.watched.size;
  }

  /** Adds layers of one model; one that is watched already stays as it is. Takes effect with the next `install`. */
  add(layers: readonly FoundLayer[], modelName: string, measured: WatchedLayer['measured']): void {
    for (const found of layers.filter(({ layer }) => !this.watched.has(layer))) {
      const site = `${this.prefixOf(found, layers, modelName)}${found.path}`;
      this.watched.set(found.layer, { ...found, site, measured });
      this.sites.add(site);
    }
  }

  has(site: string): boolean {
    return this.sites.has(site);
  }

  /** Wraps every watched layer, and what holds it, until `remove`. */
  install(observe: Observe): void {
    this.remove();
    const places = new Places();
    for (const holder of this.holders()) {
      const { layer } = holder;
      if (!isLayer(layer)) continue; // an object of the user's that holds layers has no call to wrap
      const watched = this.watched.get(layer);
      const around = (run: () => unknown, inputs: unknown, kwargs: unknown): unknown => {
        const leave = places.enter(holder);
        try {
          const output = run();
          if (watched === undefined) return output;
          const prefix = watched.site.slice(0, watched.site.length - watched.path.length);
          return observed({ watched, site: prefix + places.pathOf(holder), inputs, kwargs }, output, observe);
        } finally {
          leave();
        }
      };
      this.unhook.push(hookCall(layer, around));
    }
  }

  /** Leaves the layers as they were. */
  remove(): void {
    const { unhook } = this;
    this.unhook = [];
    for (const each of unhook) each();
  }

  /** The watched layers and all that hold them. */
  private holders(): Holder[] {
    const holders = new Map<object, Holder>();
    for (const watched of this.watched.values()) {
      for (let holder: Holder | undefined = watched; holder !== undefined; holder = holder.holder) {
        if (!holders.has(holder.layer)) holders.set(holder.layer, holder);
      }
    }
    return [...holders.values()];
  }

  /** Two models may have layers of the same path: all sites of the second one begin with its name. */
  private prefixOf(found: Holder, layers: readonly FoundLayer[], modelName: string): string {
    const { layer: model } = rootOf(found);
    const known = this.prefixes.get(model);
    if (known !== undefined) return known;
    const clashes = (prefix: string): boolean => layers.some(({ path }) => this.has(prefix + path));
    const name = readableModelName(modelName, this.prefixes.size);
    let prefix = '';
    for (let copy = 1; clashes(prefix); copy++) prefix = copy === 1 ? `${name}/` : `${name}_${copy}/`;
    this.prefixes.set(model, prefix);
    return prefix;
  }
}

function rootOf(holder: Holder): Holder {
  return holder.holder === undefined ? holder : rootOf(holder.holder);
}

function observed(call: LayerCall, output: unknown, observe: Observe): unknown {
  if (!Array.isArray(output)) return observe(call, output as tf.Tensor);
  // Some layers, recurrent ones among them, put their output first and their states after it.
  return output.length === 0 ? output : [observe(call, output[0] as tf.Tensor), ...output.slice(1)];
}

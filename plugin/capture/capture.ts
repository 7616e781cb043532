/**
 * Watches layers: on sampled steps their `call` is wrapped, on all other steps the model is as the user made it.
 */
import * as tf from '@tensorflow/tfjs-core';
import type { FoundLayer, LayerLike } from './layers.ts';

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
  private readonly watched: WatchedLayer[] = [];
  private wrapped: (() => void)[] = [];

  get size(): number {
    return this.watched.length;
  }

  /** Adds layers; one that is watched already stays as it is. Takes effect with the next `install`. */
  add(layers: readonly FoundLayer[], modelName: string, measured: WatchedLayer['measured']): void {
    for (const found of layers) {
      if (this.watched.some(({ layer }) => layer === found.layer)) continue;
      this.watched.push({ ...found, site: this.freeName(found.path, modelName), measured });
    }
  }

  has(site: string): boolean {
    return this.watched.some((watched) => watched.site === site);
  }

  /** Wraps every watched layer until `remove`. */
  install(observe: Observe): void {
    this.remove();
    this.wrapped = this.watched.map((watched) => wrap(watched, observe));
  }

  /** Leaves the layers as they were. */
  remove(): void {
    for (const unwrap of this.wrapped) unwrap();
    this.wrapped = [];
  }

  /** Two models may have layers of the same path: the second one's sites carry its name. */
  private freeName(path: string, modelName: string): string {
    if (!this.has(path)) return path;
    let name = `${modelName}/${path}`;
    for (let copy = 2; this.has(name); copy++) name = `${modelName}/${path}#${copy}`;
    return name;
  }
}

/** Replaces `layer.call` on the instance; the function returned puts back what was there. */
function wrap(watched: WatchedLayer, observe: Observe): () => void {
  const { layer, callsPerPass, site } = watched;
  const own = Object.getOwnPropertyDescriptor(layer, 'call');
  const original = layer.call;
  const nextPlace = placesOf(callsPerPass);
  const wrapper = (inputs: unknown, kwargs: unknown): unknown => {
    const output = original.call(layer, inputs, kwargs);
    const place = nextPlace();
    const call: LayerCall = { watched, site: place === 0 ? site : `${site}#${place + 1}`, inputs, kwargs };
    if (!Array.isArray(output)) return observe(call, output as tf.Tensor);
    // Some layers, recurrent ones among them, put their output first and their states after it.
    return output.length === 0 ? output : [observe(call, output[0] as tf.Tensor), ...output.slice(1)];
  };
  layer.call = wrapper;
  return () => unwrap(layer, wrapper, own);
}

function unwrap(layer: LayerLike, wrapper: LayerLike['call'], own: PropertyDescriptor | undefined): void {
  // Somebody else wrapped it after us: taking ours out would take theirs out too, and ours does nothing off sampled steps.
  if (layer.call !== wrapper) return;
  if (own === undefined) Reflect.deleteProperty(layer, 'call');
  else Object.defineProperty(layer, 'call', own);
}

/**
 * Which of its places in the model a shared layer runs at: they come in turn within a forward pass. A new gradient tape means
 * a new pass, also where the one before was cut short.
 */
function placesOf(callsPerPass: number): () => number {
  let calls = 0;
  let tape: unknown;
  return () => {
    if (callsPerPass === 1) return 0;
    const { activeTape } = tf.engine().state;
    if (activeTape !== tape) {
      tape = activeTape;
      calls = 0;
    }
    return calls++ % callsPerPass;
  };
}

/**
 * Watches layers of a model: on sampled steps their `call` is wrapped, on all other steps the model is as the user made it.
 */
import type * as tf from '@tensorflow/tfjs-core';
import type { FoundLayer, LayerLike } from './layers.ts';

/** A layer whose output is measured, under a name. */
export interface WatchedLayer extends FoundLayer {
  readonly name: string;
}

export type Observe = (site: WatchedLayer, output: tf.Tensor) => tf.Tensor;

export class Capture {
  private readonly watched: readonly WatchedLayer[];
  private wrapped: (() => void)[] = [];

  constructor(watched: readonly WatchedLayer[]) {
    this.watched = watched;
  }

  /** Wraps every watched layer until `remove`. `observe` gets the layer's output and gives back what takes its place. */
  install(observe: Observe): void {
    this.remove();
    this.wrapped = this.watched.map((site) => wrap(site.layer, (output) => observe(site, output)));
  }

  /** Leaves the layers as they were. */
  remove(): void {
    for (const unwrap of this.wrapped) unwrap();
    this.wrapped = [];
  }
}

/** Replaces `layer.call` on the instance; the function returned puts back what was there. */
function wrap(layer: LayerLike, replace: (output: tf.Tensor) => tf.Tensor): () => void {
  const own = Object.getOwnPropertyDescriptor(layer, 'call');
  const original = layer.call;
  const wrapper = function (this: unknown, inputs: unknown, kwargs: unknown): unknown {
    const output = original.call(layer, inputs, kwargs);
    if (!Array.isArray(output)) return replace(output as tf.Tensor);
    // Some layers, recurrent ones among them, put their output first and their states after it.
    return output.length === 0 ? output : [replace(output[0] as tf.Tensor), ...output.slice(1)];
  };
  layer.call = wrapper;
  return () => {
    // Somebody else wrapped it after us: taking ours out would take theirs out too, and ours does nothing off sampled steps.
    if (layer.call !== wrapper) return;
    if (own === undefined) Reflect.deleteProperty(layer, 'call');
    else Object.defineProperty(layer, 'call', own);
  };
}

/** What can be measured, and what to say of what cannot. */
import * as tf from '@tensorflow/tfjs-core';

/** Undefined for a tensor that can be measured, else the reason. */
export function whyNotMeasurable(x: unknown): string | undefined {
  if (!(x instanceof tf.Tensor)) return `it is no tensor but ${describe(x)}`;
  if (x.isDisposed) return 'the tensor is disposed';
  if (x.rank < 2) return `the tensor has rank ${x.rank}, and needs rows and a width: [..., width]`;
  if (x.dtype !== 'float32') return `the tensor is ${x.dtype}, and activations are float32`;
  if (x.size === 0) return `the tensor is empty, of shape [${x.shape.join(', ')}]`;
  return undefined;
}

/** A tensor of a model under construction: it has a shape and a source layer, and no values. */
export function isSymbolic(x: unknown): boolean {
  const symbolic = x as { shape?: unknown; sourceLayer?: unknown } | null | undefined;
  return (
    typeof symbolic === 'object' &&
    symbolic !== null &&
    symbolic.sourceLayer !== undefined &&
    Array.isArray(symbolic.shape)
  );
}

/** A value in words, for error messages. */
export function describe(value: unknown): string {
  if (value === null) return 'null';
  return typeof value === 'object' ? `an object of class ${value.constructor?.name ?? 'none'}` : typeof value;
}

/** Where and when the tensors of a sampled step are reduced to summaries. */
import * as tf from '@tensorflow/tfjs-core';
import { DeviceReduction } from './device-reduction.ts';
import { HostReduction } from './host-reduction.ts';
import type { Summary, SummaryLayout } from './layout.ts';
import { simdHere } from './simd.ts';

/** Gets the summary of a tensor, and how many NaN and infinite values it has. */
export type Take = (summary: Summary, nonfinite: number) => void;

/** Reduces the tensors of one step; `take` of each is called once, before `finish` returns. */
export interface Reduction {
  /** Takes a tensor [..., d] in; to be called off the gradient tape. It may be disposed of afterwards. */
  add(x: tf.Tensor, layout: SummaryLayout, take: Take): void;
  /** What is to be downloaded at the end of the step, each [1, k]. The caller disposes of it. */
  gather(): tf.Tensor2D[];
  /** Takes the values of what `gather` gave, which begin at `offset`; gives where they end. */
  finish(values: Float32Array, offset: number): number;
  /** Gives all tensors back. */
  dispose(): void;
}

/**
 * Where tensors lie in host memory, one pass over them there costs less than the dispatch of the kernels that a device needs;
 * elsewhere they stay on the device, and only what they are reduced to comes to the host.
 */
export function createReduction(): Reduction {
  return liesOnHost() && simdHere() !== undefined ? new HostReduction() : new DeviceReduction();
}

function liesOnHost(): boolean {
  const name = tf.getBackend();
  if (name === 'cpu' || name === 'wasm') return true;
  // tfjs-node, and tfjs-node-gpu where it found no GPU
  return name === 'tensorflow' && (tf.backend() as { isUsingGpuDevice?: boolean }).isUsingGpuDevice === false;
}

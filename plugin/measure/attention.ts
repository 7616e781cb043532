/** Attention statistics: how spread the weights are, how large the logits get. */
import * as tf from '@tensorflow/tfjs-core';
import { columnMeans, rowMeans } from './means.ts';
import type { SiteMetrics } from './metrics.ts';
import { sampledRowCount, sampledRows } from './rows.ts';

/** What an attention layer computed; either may be left out. */
export interface AttentionTensors {
  /** Softmax weights [..., queries, keys]: each row sums to 1. */
  readonly weights?: tf.Tensor;
  /** Logits before softmax [..., queries, keys], masked ones at -1e8 or below. */
  readonly logits?: tf.Tensor;
}

/** [1, 2]: mean entropy in nats, and largest logit; NaN for what was not given. */
export function summariseAttention({ weights, logits }: AttentionTensors): tf.Tensor2D {
  return tf.tidy(() => {
    const unknown = () => tf.fill([1, 1], Number.NaN);
    const entropy = weights === undefined ? unknown() : meanEntropy(weights);
    const largest = logits === undefined ? unknown() : tf.reshape(tf.max(logits), [1, 1]);
    return tf.concat([entropy, largest], 1) as tf.Tensor2D;
  });
}

/**
 * From the statistics of each forward pass in a step: the mean entropy, the largest logit. NaN for what was not given in one
 * of them, for a NaN among the values (of the entropy: among the queries that are looked at), and where all keys are masked.
 */
export function measureAttention(passes: readonly Float32Array[]): SiteMetrics {
  const [entropies, logits] = [0, 1].map((index) => passes.map((pass) => pass[index] as number)) as [
    number[],
    number[],
  ];
  const largest = Math.max(...logits);
  return {
    attention_entropy: entropies.reduce((sum, entropy) => sum + entropy, 0) / entropies.length,
    // Every key was masked: there is no largest logit.
    max_attention_logit: largest <= -1e8 ? Number.NaN : largest,
  };
}

/** -sum_k p_k ln p_k, over evenly spread queries. 0 ln 0 = 0. */
function meanEntropy(weights: tf.Tensor): tf.Tensor {
  const keys = weights.shape[weights.shape.length - 1] as number;
  const queries = weights.size / keys;
  const all = tf.reshape(weights, [1, queries, keys]) as tf.Tensor3D;
  const few = queries <= sampledRowCount.queries;
  const some = few ? all : tf.gather(all, sampledRows(queries, sampledRowCount.queries), 1);
  // ln of the smallest normal float32 is finite, and 0 times it is 0.
  const logarithms = tf.log(tf.maximum(some, 1.2e-38));
  return tf.reshape(tf.mul(columnMeans(rowMeans(tf.mul(some, logarithms))), -keys), [1, 1]);
}

/**
 * A GPT without layers, as people write them who come from other frameworks: variables in a closure, plain operations,
 * `x.add`. Pre-Norm, after GPT-2 (Radford et al., 2019).
 *
 * Shapes: B batch, T positions, C width, H heads, D = C / H head width, V vocabulary.
 */
import * as tf from '@tensorflow/tfjs-core';
import type { OutlierMonitor } from 'outlierscope';

export interface RawGptSize {
  readonly vocabulary: number;
  readonly width: number;
  readonly heads: number;
  readonly blocks: number;
  readonly positions: number;
}

export interface RawGpt {
  /** Mean cross-entropy of the next tokens `y` [B, T] after `x` [B, T]. */
  loss(x: tf.Tensor2D, y: tf.Tensor2D): tf.Scalar;
  dispose(): void;
}

/** Where the program looks inside; a monitor, or nothing. */
export type Taps = Pick<OutlierMonitor, 'tap' | 'tapAttention'>;

export function createRawGpt({ vocabulary, width, heads, blocks, positions }: RawGptSize, taps: Taps): RawGpt {
  const variables: tf.Variable[] = [];
  let seed = 1;
  const weight = (...shape: number[]): tf.Variable => {
    const variable = tf.tidy(() => tf.variable(tf.randomNormal(shape, 0, 0.1, 'float32', seed++)));
    variables.push(variable);
    return variable;
  };
  const embedding = weight(vocabulary, width);
  const position = weight(positions, width);
  const parts = Array.from({ length: blocks }, () => ({
    qkv: weight(width, 3 * width),
    out: weight(width, width),
    up: weight(width, 4 * width),
    down: weight(4 * width, width),
  }));
  const mask = tf.tidy(() => tf.mul(tf.sub(1, tf.linalg.bandPart(tf.ones([positions, positions]), -1, 0)), -1e9));

  const norm = (x: tf.Tensor): tf.Tensor => {
    const { mean, variance } = tf.moments(x, -1, true);
    return tf.div(tf.sub(x, mean), tf.sqrt(tf.add(variance, 1e-5)));
  };
  const linear = (x: tf.Tensor, w: tf.Variable): tf.Tensor => {
    const [rows, columns] = w.shape as [number, number];
    return tf.reshape(tf.matMul(tf.reshape(x, [-1, rows]), w as tf.Tensor2D), [...x.shape.slice(0, -1), columns]);
  };
  const attention = (name: string, x: tf.Tensor, { qkv, out }: (typeof parts)[number]): tf.Tensor => {
    const [batch, length] = x.shape as [number, number];
    const headed = tf.reshape(linear(x, qkv), [batch, length, 3, heads, width / heads]);
    const [q, k, v] = tf.unstack(tf.transpose(headed, [2, 0, 3, 1, 4])) as [tf.Tensor, tf.Tensor, tf.Tensor]; // [B, H, T, D]
    const logits = tf.add(tf.mul(tf.matMul(q, k, false, true), Math.sqrt(heads / width)), mask); // [B, H, T, T]
    const weights = tf.softmax(logits);
    taps.tapAttention(name, { weights, logits });
    return linear(tf.reshape(tf.transpose(tf.matMul(weights, v), [0, 2, 1, 3]), [batch, length, width]), out);
  };
  return {
    loss: (tokens, targets) => {
      let x = tf.add(tf.gather(embedding, tokens), position) as tf.Tensor; // [B, T, C]
      for (const [index, part] of parts.entries()) {
        x = tf.add(x, attention(`h${index}/attention`, norm(x), part));
        x = tf.add(x, linear(tf.relu(linear(norm(x), part.up)), part.down));
        x = taps.tap(`h${index}/residual`, x);
      }
      const logits = tf.matMul(tf.reshape(norm(x), [-1, width]), embedding as tf.Tensor2D, false, true); // [B*T, V]
      return tf.losses.softmaxCrossEntropy(tf.oneHot(tf.reshape(targets, [-1]), vocabulary), logits);
    },
    dispose: () => tf.dispose([mask, ...variables]),
  };
}

/**
 * Multi-head causal self-attention as a trainable layer: TensorFlow.js ships none.
 *
 * Shapes: B batch, T positions, C width, H heads, D = C / H head width.
 */
import * as tf from '@tensorflow/tfjs-core';
import { initializers, layers, type Shape } from '@tensorflow/tfjs-layers';
import { OutlierscopeError } from '../../src/errors.ts';

export interface CausalSelfAttentionArgs {
  readonly heads: number;
  /** Standard deviation of the output projection at initialisation; GPT-2 divides by sqrt(2 x blocks). Default 0.02. */
  readonly outputStandardDeviation?: number;
  /** Makes the initial weights repeatable. */
  readonly seed?: number;
  readonly name?: string;
}

/** [B, T, C] -> [B, T, C]: softmax(Q K^T / sqrt(D) + causal mask) V, then a projection. */
export class CausalSelfAttention extends layers.Layer {
  static className = 'OutlierscopeCausalSelfAttention';
  readonly heads: number;
  private readonly outputStandardDeviation: number;
  private readonly seed: number | undefined;
  private inputProjection!: { read(): tf.Tensor };
  private outputProjection!: { read(): tf.Tensor };

  constructor(args: CausalSelfAttentionArgs) {
    super(args as { name?: string });
    if (!Number.isInteger(args.heads) || args.heads < 1) {
      throw new OutlierscopeError(`heads is ${args.heads}`, {
        code: 'invalid-option',
        hint: 'give a whole number from 1 on',
      });
    }
    this.heads = args.heads;
    this.outputStandardDeviation = args.outputStandardDeviation ?? 0.02;
    this.seed = args.seed;
  }

  override build(inputShape: Shape | Shape[]): void {
    const width = lastAxis(inputShape);
    if (width % this.heads !== 0) {
      throw new OutlierscopeError(`a width of ${width} cannot be split into ${this.heads} heads`, {
        code: 'invalid-option',
        hint: 'make the width a multiple of the number of heads',
      });
    }
    const normal = (stddev: number, offset: number) =>
      initializers.randomNormal({ mean: 0, stddev, ...(this.seed !== undefined && { seed: this.seed + offset }) });
    this.inputProjection = this.addWeight('qkv_kernel', [width, 3 * width], 'float32', normal(0.02, 0));
    this.outputProjection = this.addWeight(
      'out_kernel',
      [width, width],
      'float32',
      normal(this.outputStandardDeviation, 1),
    );
    this.built = true;
  }

  override computeOutputShape(inputShape: Shape | Shape[]): Shape | Shape[] {
    return inputShape;
  }

  override call(inputs: tf.Tensor | tf.Tensor[]): tf.Tensor {
    return tf.tidy(() => {
      const x = Array.isArray(inputs) ? (inputs[0] as tf.Tensor) : inputs;
      const [batch, positions, width] = x.shape as [number, number, number];
      const headWidth = width / this.heads;
      const rows = tf.reshape(x, [batch * positions, width]); // [B*T, C]
      const projected = tf.matMul(rows, this.inputProjection.read() as tf.Tensor2D); // [B*T, 3C]
      const split = tf.transpose(tf.reshape(projected, [batch, positions, 3, this.heads, headWidth]), [2, 0, 3, 1, 4]);
      const [query, key, value] = tf.unstack(split) as [tf.Tensor, tf.Tensor, tf.Tensor]; // each [B, H, T, D]
      const scores = tf.mul(tf.matMul(query, key, false, true), 1 / Math.sqrt(headWidth)); // [B, H, T, T]
      const attention = tf.softmax(tf.add(scores, causalMask(positions))); // [B, H, T, T]
      const mixed = tf.transpose(tf.matMul(attention, value), [0, 2, 1, 3]); // [B, T, H, D]
      const output = tf.matMul(
        tf.reshape(mixed, [batch * positions, width]),
        this.outputProjection.read() as tf.Tensor2D,
      );
      return tf.reshape(output, [batch, positions, width]);
    });
  }

  override getConfig(): tf.serialization.ConfigDict {
    return {
      ...super.getConfig(),
      heads: this.heads,
      outputStandardDeviation: this.outputStandardDeviation,
      ...(this.seed !== undefined && { seed: this.seed }),
    };
  }
}
tf.serialization.registerClass(CausalSelfAttention);

/** [T, T]: 0 where a position may look, -1e9 at the positions after it. */
function causalMask(positions: number): tf.Tensor {
  const allowed = tf.linalg.bandPart(tf.ones([positions, positions]), -1, 0);
  return tf.mul(tf.sub(1, allowed), -1e9);
}

function lastAxis(shape: Shape | Shape[]): number {
  const single = (Array.isArray(shape[0]) ? shape[0] : shape) as Shape;
  return single[single.length - 1] as number;
}

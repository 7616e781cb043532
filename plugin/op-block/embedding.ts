/** Token embedding plus learned position embedding. */
import * as tf from '@tensorflow/tfjs-core';
import { initializers, layers, type Shape } from '@tensorflow/tfjs-layers';

export interface TokenAndPositionEmbeddingArgs {
  readonly vocabulary: number;
  readonly width: number;
  /** Longest sequence, in positions. */
  readonly positions: number;
  /** Makes the initial weights repeatable. */
  readonly seed?: number;
  readonly name?: string;
}

/** [B, T] token numbers -> [B, T, C]. */
export class TokenAndPositionEmbedding extends layers.Layer {
  static className = 'OutlierscopeTokenAndPositionEmbedding';
  private readonly args: TokenAndPositionEmbeddingArgs;
  private tokens!: { read(): tf.Tensor };
  private positions!: { read(): tf.Tensor };

  constructor(args: TokenAndPositionEmbeddingArgs) {
    super(args as { name?: string });
    this.args = args;
  }

  override build(): void {
    const { vocabulary, width, positions, seed } = this.args;
    const normal = (offset: number) =>
      initializers.randomNormal({ mean: 0, stddev: 0.02, ...(seed !== undefined && { seed: seed + offset }) });
    this.tokens = this.addWeight('token_embedding', [vocabulary, width], 'float32', normal(0));
    this.positions = this.addWeight('position_embedding', [positions, width], 'float32', normal(1));
    this.built = true;
  }

  override computeOutputShape(inputShape: Shape | Shape[]): Shape {
    const [batch, positions] = (Array.isArray(inputShape[0]) ? inputShape[0] : inputShape) as [
      number | null,
      number | null,
    ];
    return [batch, positions, this.args.width];
  }

  override call(inputs: tf.Tensor | tf.Tensor[]): tf.Tensor {
    return tf.tidy(() => {
      const tokens = tf.cast(Array.isArray(inputs) ? (inputs[0] as tf.Tensor) : inputs, 'int32'); // [B, T]
      const embedded = lookUp(this.tokens.read() as tf.Tensor2D, tokens); // [B, T, C]
      return tf.add(embedded, tf.slice(this.positions.read(), 0, tokens.shape[1] as number));
    });
  }

  override getConfig(): tf.serialization.ConfigDict {
    const { vocabulary, width, positions, seed } = this.args;
    return { ...super.getConfig(), vocabulary, width, positions, ...(seed !== undefined && { seed }) };
  }
}
tf.serialization.registerClass(TokenAndPositionEmbedding);

/** Rows of a table. The gradient of gather needs UnsortedSegmentSum, which wasm lacks: there it is a product with one-hot rows. */
function lookUp(table: tf.Tensor2D, indices: tf.Tensor): tf.Tensor {
  if (tf.getKernel('UnsortedSegmentSum', tf.getBackend()) != null) return tf.gather(table, indices);
  const [size, width] = table.shape;
  const oneHot = tf.reshape(tf.oneHot(tf.reshape(indices, [-1]), size), [indices.size, size]);
  return tf.reshape(tf.matMul(tf.cast(oneHot, 'float32'), table), [...indices.shape, width]);
}

/** A GPT of ordinary TensorFlow.js layers around this package's attention, after GPT-2 (Radford et al., 2019) with a ReLU MLP as in He et al. */
import { initializers, input, type LayersModel, layers, model, type SymbolicTensor } from '@tensorflow/tfjs-layers';
import { CausalSelfAttention } from './attention.ts';
import { TokenAndPositionEmbedding } from './embedding.ts';
import { LayerNorm } from './norm.ts';

export interface GptOptions {
  readonly vocabulary: number;
  /** Width of the residual stream. */
  readonly width: number;
  readonly blocks: number;
  readonly heads: number;
  /** Longest sequence, in positions. */
  readonly positions: number;
  /** Makes the initial weights repeatable. */
  readonly seed?: number;
  readonly name?: string;
}

/**
 * Pre-Norm GPT: [B, T] token numbers -> [B, T, vocabulary] logits. The residual stream is the output of the layers
 * `h0_attention_add`, `h0_mlp_add`, `h1_attention_add`, …
 */
export function gpt({ vocabulary, width, blocks, heads, positions, seed, name = 'gpt' }: GptOptions): LayersModel {
  const deep = 0.02 / Math.sqrt(2 * blocks); // GPT-2: the residual branches' last weights shrink with depth
  let drawn = 0;
  // Every weight gets a seed of its own: with one for all, weights of equal shape would start equal.
  const seeded = (): { seed?: number } => (seed === undefined ? {} : { seed: seed * 1000 + 2 * drawn++ });
  const normal = (stddev: number) => initializers.randomNormal({ mean: 0, stddev, ...seeded() });
  const tokens = input({ shape: [null], dtype: 'int32', name: 'tokens' });
  let x = new TokenAndPositionEmbedding({ vocabulary, width, positions, ...seeded(), name: 'embedding' }).apply(
    tokens,
  ) as SymbolicTensor;
  for (let block = 0; block < blocks; block++) {
    const at = (part: string) => `h${block}_${part}`;
    const attended = new CausalSelfAttention({
      heads,
      outputStandardDeviation: deep,
      ...seeded(),
      name: at('attention'),
    }).apply(new LayerNorm({ name: at('attention_norm') }).apply(x)) as SymbolicTensor;
    x = layers.add({ name: at('attention_add') }).apply([x, attended]) as SymbolicTensor;
    const normed = new LayerNorm({ name: at('mlp_norm') }).apply(x);
    const hidden = layers
      .dense({ units: 4 * width, activation: 'relu', kernelInitializer: normal(0.02), name: at('mlp_in') })
      .apply(normed);
    const mixed = layers.dense({ units: width, kernelInitializer: normal(deep), name: at('mlp_out') }).apply(hidden);
    x = layers.add({ name: at('mlp_add') }).apply([x, mixed as SymbolicTensor]) as SymbolicTensor;
  }
  const final = new LayerNorm({ name: 'final_norm' }).apply(x);
  const logits = layers
    .dense({ units: vocabulary, useBias: false, kernelInitializer: normal(0.02), name: 'logits' })
    .apply(final);
  return model({ inputs: tokens, outputs: logits as SymbolicTensor, name });
}

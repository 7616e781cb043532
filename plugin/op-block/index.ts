/** `outlierscope/op-block`: transformer layers that train in TensorFlow.js. */
export { CausalSelfAttention, type CausalSelfAttentionArgs } from './attention.ts';
export { TokenAndPositionEmbedding, type TokenAndPositionEmbeddingArgs } from './embedding.ts';
export { type GptOptions, gpt } from './gpt.ts';
export { LayerNorm, type LayerNormArgs } from './norm.ts';

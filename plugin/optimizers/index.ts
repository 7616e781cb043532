/** `outlierscope/optimizers`: optimisers that TensorFlow.js lacks. */
export { AdamW, type AdamWOptions } from './adamw.ts';
export { clipByGlobalNorm } from './clip.ts';

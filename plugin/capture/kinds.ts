/** What part a layer plays, as far as its class and name tell; the residual stream needs more (residual.ts). */
import type { SiteKind } from '../../src/messages.ts';

/** `isOutput`: what the layer puts out is what the whole model puts out. */
export function kindByName(name: string, className: string, isOutput: () => boolean): SiteKind {
  if (className === 'Add') return 'residual';
  if (/norm/i.test(className)) return 'norm';
  const names = `${className} ${name}`;
  if (/attention|(?<![a-z])attn(?![a-z])/i.test(names)) return 'attention';
  if (/embedding/i.test(className)) return 'embedding';
  if (/mlp|feed_?forward|(?<![a-z])ffn(?![a-z])/i.test(names)) return 'mlp';
  if (className === 'Dense' && (/logits|head/i.test(name) || isOutput())) return 'logits';
  return 'custom';
}

/** TransformerBlock, ResidualBlock, EncoderLayer and the like. */
export function looksLikeBlock(name: string): boolean {
  return /block|residual|(en|de)coder_?layer|transformer_?layer/i.test(name);
}

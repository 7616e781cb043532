/**
 * Which layers' outputs are the residual stream: those of Add layers, and those of blocks that add without an Add layer. The
 * output of a block that has Add layers in it is the output of the last of them: measured once. A model with none of these may
 * be made of nested models or recurrent layers: then their outputs come nearest.
 */
import { looksLikeBlock } from './kinds.ts';
import type { BlockKind, FoundLayer } from './layers.ts';
import { isContainer, type LayerLike } from './parts.ts';

/** How layers are held: a graph says what an output is used for, a field does not. */
export type Held = 'in a graph' | 'in fields';

export function residualStream(layers: readonly FoundLayer[], held: Held): Set<FoundLayer> {
  const withBlocks = (kinds: readonly BlockKind[]) => layers.flatMap((found) => streamOf(found, held, kinds));
  const stream = withBlocks(['block']);
  return new Set(stream.length > 0 ? stream : withBlocks(['block', 'plain']));
}

function streamOf(found: FoundLayer, held: Held, blocks: readonly BlockKind[]): FoundLayer[] {
  const { layer, className, kind, block, parts, name } = found;
  if (className === 'Add') return [found];
  const inside = parts.flatMap((part) => streamOf(part, isContainer(layer) ? 'in a graph' : 'in fields', blocks));
  // Attention, an MLP and the like are branches of the stream, whatever they are made of.
  if (kind !== 'custom') return inside.filter((part) => part.className === 'Add');
  if (inside.length > 0) return inside;
  if (block === undefined || !blocks.includes(block)) return [];
  const isOfTheStream = held === 'in a graph' ? !isBranch(layer) : looksLikeBlock(className) || looksLikeBlock(name);
  return isOfTheStream ? [found] : [];
}

/** A branch ends in Add layers and goes nowhere else: what it adds to the stream is not the stream. */
function isBranch(layer: LayerLike, passed: ReadonlySet<LayerLike> = new Set()): boolean {
  const next = (layer.outboundNodes ?? []).map(({ outboundLayer }) => outboundLayer);
  const through = new Set([...passed, layer]); // shared layers make circles
  return (
    next.length > 0 &&
    next.every((after) => {
      const className = after.getClassName();
      if (className === 'Add') return true;
      return /dropout|noise|norm/i.test(className) && !through.has(after) && isBranch(after, through);
    })
  );
}

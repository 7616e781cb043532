/** The layers of a model as a tree, nested ones included: names, kinds, and how often each runs. */
import type { SiteKind } from '../../src/messages.ts';
import { kindByName, looksLikeBlock } from './kinds.ts';
import { readableNames } from './names.ts';
import { isContainer, type LayerLike, type Part, partsOf } from './parts.ts';
import { residualStream } from './residual.ts';

export { isLayer, type LayerLike } from './parts.ts';

/** What holds layers: the model itself, or a layer of it. */
export interface Holder {
  readonly layer: object;
  /** Unique among what its own holder holds; empty for the model. */
  readonly name: string;
  /** Names from the model's first level down, joined by '/': unique within the model, the same in every process. */
  readonly path: string;
  /** How often one run of its own holder runs it: more than once where it is shared; undefined where only the holder's code knows. */
  readonly callsPerRun: number | undefined;
  readonly holder: Holder | undefined;
}

/** A layer made of layers. A `plain` one, a nested model or a recurrent layer, adds nothing to what it is given. */
export type BlockKind = 'block' | 'plain';

export interface FoundLayer extends Holder {
  readonly layer: LayerLike;
  readonly holder: Holder;
  readonly className: string;
  readonly kind: SiteKind;
  readonly block: BlockKind | undefined;
  readonly parts: readonly FoundLayer[];
}

/** Every layer below a model, each once, holders before their parts. */
export function findLayers(model: object): FoundLayer[] {
  const tree = layerTree(model);
  const stream = residualStream(tree, isContainer(model) ? 'in a graph' : 'in fields');
  const all = (layers: readonly FoundLayer[]): FoundLayer[] => layers.flatMap((layer) => [layer, ...all(layer.parts)]);
  return all(tree).map((found) => (stream.has(found) ? { ...found, kind: 'residual' } : found));
}

function layerTree(model: object): FoundLayer[] {
  const seen = new Set<object>([model]);
  const below = (holder: Holder): FoundLayer[] => {
    const parts = partsOf(holder.layer).filter(({ layer }, index, all) => {
      const isFirst = all.findIndex((other) => other.layer === layer) === index;
      return isFirst && !seen.has(layer);
    });
    // Claimed before going deeper: where a part refers to one of its siblings, the sibling is no part of it.
    for (const { layer } of parts) seen.add(layer);
    const names = readableNames(parts, holder.name);
    return parts.map((part, index) => found(part, names[index] as string, holder));
  };
  const found = (part: Part, name: string, holder: Holder): FoundLayer => {
    const { layer } = part;
    const className = layer.getClassName();
    const path = holder.path === '' ? name : `${holder.path}/${name}`;
    const here: Holder = { layer, name, path, callsPerRun: callsPerRun(layer, className, holder.layer), holder };
    const parts = below(here);
    return {
      ...here,
      layer,
      holder,
      className,
      kind: kindByName(layer.name, className, () => isOutput(layer, holder)),
      block: blockKind(layer, className, parts),
      parts,
    };
  };
  return below({ layer: model, name: '', path: '', callsPerRun: 1, holder: undefined });
}

const recurrent = /^(RNN|SimpleRNN|GRU|LSTM|ConvRNN2D|ConvLSTM2D|StackedRNNCells|Bidirectional)$/;

function blockKind(layer: LayerLike, className: string, parts: readonly FoundLayer[]): BlockKind | undefined {
  if (looksLikeBlock(className)) return 'block';
  if (parts.length === 0) return undefined;
  if (className === 'TimeDistributed') return parts[0]?.block;
  return isContainer(layer) || recurrent.test(className) ? 'plain' : 'block';
}

function isOutput(layer: LayerLike, holder: Holder): boolean {
  const { outputLayers } = holder.layer as Partial<LayerLike>;
  return holder.holder === undefined && outputLayers?.includes(layer) === true;
}

function callsPerRun(layer: LayerLike, className: string, holder: object): number | undefined {
  if (!isContainer(holder)) {
    // Steps through time are rows of one place.
    const holderClass = (holder as Partial<LayerLike>).getClassName?.();
    return /Cells?$/.test(className) || holderClass === 'TimeDistributed' ? 1 : undefined;
  }
  const { containerNodes } = holder as Partial<LayerLike>;
  const nodes = (layer.inboundNodes ?? []).filter(
    (_, node) => containerNodes?.has(`${layer.name}_ib-${node}`) === true,
  );
  // tf.Sequential has no nodes of its own, and lists a layer as often as it was added.
  const listed = holder.layers.filter((other) => other === layer);
  return Math.max(nodes.length, listed.length);
}

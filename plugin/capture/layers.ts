/** Finds the layers of a model, nested ones included, and what part they play. Works on any copy of TensorFlow.js: nothing is checked by `instanceof`. */
import type { SiteKind } from '../../src/messages.ts';

/** What is needed of a tfjs layer. */
export interface LayerLike {
  readonly name: string;
  call: (inputs: unknown, kwargs: unknown) => unknown;
  readonly layers?: readonly LayerLike[];
  getClassName(): string;
}

export interface FoundLayer {
  readonly layer: LayerLike;
  readonly className: string;
  readonly kind: SiteKind;
  /** Names from the model's first level down, joined by '/': unique within the model. */
  readonly path: string;
}

export function isLayer(value: unknown): value is LayerLike {
  const layer = value as Partial<LayerLike> | null | undefined;
  return (
    typeof layer?.name === 'string' && typeof layer.call === 'function' && typeof layer.getClassName === 'function'
  );
}

/** Every layer below a model, in the order of the model, each once. */
export function findLayers(model: LayerLike): FoundLayer[] {
  const found: FoundLayer[] = [];
  const seen = new Set<LayerLike>([model]);
  const visit = (parent: LayerLike, prefix: string): void => {
    for (const layer of sublayers(parent)) {
      if (seen.has(layer)) continue;
      seen.add(layer);
      const path = prefix === '' ? layer.name : `${prefix}/${layer.name}`;
      const className = layer.getClassName();
      found.push({ layer, className, kind: kindOf(className, sublayers(layer).length), path });
      visit(layer, path);
    }
  };
  visit(model, '');
  return found;
}

/** Layers that a container lists, and layers that a custom layer holds as fields or in arrays of them. */
function sublayers(parent: LayerLike): LayerLike[] {
  if (parent.layers !== undefined) return parent.layers.filter(isLayer);
  return Object.entries(parent)
    .filter(([field]) => !bookkeeping.has(field))
    .flatMap(([, value]) => (Array.isArray(value) ? value : [value]))
    .filter(isLayer);
}

/** Fields through which tfjs links layers to their neighbours rather than to their parts. */
const bookkeeping = new Set(['inboundNodes', 'outboundNodes', '_inboundNodes', '_outboundNodes']);

function kindOf(className: string, parts: number): SiteKind {
  if (className === 'Add') return 'residual';
  if (/attention/i.test(className)) return 'attention';
  if (/norm/i.test(className)) return 'norm';
  if (/embedding/i.test(className)) return 'embedding';
  if (/mlp|feedforward/i.test(className)) return 'mlp';
  // A block: its output is the residual stream that the next block reads.
  if (parts > 0) return 'residual';
  return 'custom';
}

/** Finds the layers of a model, nested ones included, and what part they play. Works on any copy of TensorFlow.js: nothing is checked by `instanceof`. */
import type { SiteKind } from '../../src/messages.ts';

/** What is needed of a tfjs layer. */
export interface LayerLike {
  readonly name: string;
  call: (inputs: unknown, kwargs: unknown) => unknown;
  readonly layers?: readonly LayerLike[];
  /** A model's own nodes, by `layer_ib-index`. */
  readonly containerNodes?: ReadonlySet<string>;
  readonly outputLayers?: readonly LayerLike[];
  getClassName(): string;
}

export interface FoundLayer {
  readonly layer: LayerLike;
  readonly className: string;
  readonly kind: SiteKind;
  /** Readable names from the model's first level down, joined by '/': unique within the model, the same in every process. */
  readonly path: string;
  /** How often one forward pass runs the layer: more than once where it is shared. */
  readonly callsPerPass: number;
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
    const parts = sublayers(parent);
    const names = readableNames(parts);
    for (const [index, layer] of parts.entries()) {
      if (seen.has(layer)) continue;
      seen.add(layer);
      const path = prefix === '' ? (names[index] as string) : `${prefix}/${names[index]}`;
      const className = layer.getClassName();
      found.push({
        layer,
        className,
        kind: kindOf(layer, className, parent),
        path,
        callsPerPass: callsPerPass(layer, parent),
      });
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
    .filter(([field]) => !/^_?(in|out)boundNodes$/.test(field)) // links to neighbours, not to parts
    .flatMap(([, value]) => (Array.isArray(value) ? value : [value]))
    .filter(isLayer);
}

/**
 * Layers without a name of their own are called like `add_Add7`, counting all that the process ever made. Their place among
 * their siblings of that class stays the same from start to start: `add_0`, `add_1`.
 */
function readableNames(layers: readonly LayerLike[]): string[] {
  const counts = new Map<string, number>();
  const taken = new Set<string>();
  return layers.map(({ name }) => {
    const automatic = /^(.+)_([A-Z]\w*?)\d+$/.exec(name) ?? /^(model|sequential)_?()\d+$/.exec(name);
    let readable = name;
    if (automatic !== null && (automatic[2] === '' || snakeCase(automatic[2] as string) === automatic[1])) {
      const stem = automatic[1] as string;
      const count = counts.get(stem) ?? 0;
      counts.set(stem, count + 1);
      readable = `${stem}_${count}`;
    }
    for (let copy = 2; taken.has(readable); copy++) readable = `${name}#${copy}`;
    taken.add(readable);
    return readable;
  });
}

/** As tfjs makes names of classes: LayerNormalization -> layer_normalization. */
function snakeCase(className: string): string {
  return className
    .replace(/(.)([A-Z][a-z0-9]+)/g, '$1_$2')
    .replace(/([a-z])([A-Z])/g, '$1_$2')
    .toLowerCase();
}

function kindOf(layer: LayerLike, className: string, parent: LayerLike): SiteKind {
  if (className === 'Add') return 'residual';
  if (/norm/i.test(className)) return 'norm';
  const names = `${className} ${layer.name}`;
  if (/attention|\battn\b/i.test(names)) return 'attention';
  if (/embedding/i.test(className)) return 'embedding';
  if (/mlp|feed_?forward|\bffn\b/i.test(names)) return 'mlp';
  // A block: its output is the residual stream that the next block reads.
  if (sublayers(layer).length > 0) return 'residual';
  if (className === 'Dense' && (/logits|head/i.test(layer.name) || parent.outputLayers?.includes(layer)))
    return 'logits';
  return 'custom';
}

function callsPerPass(layer: LayerLike, parent: LayerLike): number {
  if (parent.containerNodes === undefined) return 1;
  let calls = 0;
  for (let node = 0; node < inboundNodeCount(layer); node++) {
    if (parent.containerNodes.has(`${layer.name}_ib-${node}`)) calls += 1;
  }
  return Math.max(1, calls);
}

function inboundNodeCount(layer: LayerLike): number {
  return (layer as { inboundNodes?: readonly unknown[] }).inboundNodes?.length ?? 0;
}

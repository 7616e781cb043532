/** What a layer is made of: the layers that a container lists, and those that a custom layer holds in its fields. */

/** What is needed of a tfjs layer. Any copy of TensorFlow.js will do: nothing is checked by `instanceof`. */
export interface LayerLike {
  readonly name: string;
  call: (...parameters: unknown[]) => unknown;
  readonly layers?: readonly unknown[];
  /** A container's own nodes, by `layer_ib-index`. */
  readonly containerNodes?: ReadonlySet<string>;
  readonly outputLayers?: readonly unknown[];
  readonly inboundNodes?: readonly unknown[];
  /** One for every place where the layer's output goes. */
  readonly outboundNodes?: readonly { readonly outboundLayer: LayerLike }[];
  getClassName(): string;
}

/** A layer and where its holder keeps it. */
export interface Part {
  readonly layer: LayerLike;
  /** `attention`, or `blocks.0` for the first of several; undefined where a container lists it. */
  readonly field: string | undefined;
}

export function isLayer(value: unknown): value is LayerLike {
  const layer = value as Partial<LayerLike> | null | undefined;
  return (
    typeof layer?.name === 'string' && typeof layer.call === 'function' && typeof layer.getClassName === 'function'
  );
}

/** A tf.Model or tf.Sequential: it lists its layers, and its graph says how they are connected. */
export function isContainer(value: object): value is { readonly layers: readonly LayerLike[] } {
  const { layers, getLayer } = value as { layers?: unknown; getLayer?: unknown };
  return Array.isArray(layers) && layers.length > 0 && typeof getLayer === 'function';
}

/** The layers right below a model, a layer, or any object that holds some. */
export function partsOf(holder: object): Part[] {
  if (isContainer(holder)) return holder.layers.filter(isLayer).map((layer) => ({ layer, field: undefined }));
  return Object.entries(holder)
    .filter(([field]) => !/^_?(in|out)boundNodes$/.test(field)) // links to neighbours, not to parts
    .flatMap(([field, value]) => layersIn(value, field, 0));
}

const deepest = 3;

/** A field's layers, also within arrays, sets, maps and plain objects. */
function layersIn(value: unknown, field: string, depth: number): Part[] {
  if (isLayer(value)) return [{ layer: value, field }];
  if (depth === deepest || typeof value !== 'object' || value === null) return [];
  return entriesOf(value).flatMap(([key, item]) => layersIn(item, `${field}.${key}`, depth + 1));
}

function entriesOf(value: object): [string, unknown][] {
  if (Array.isArray(value) || value instanceof Set) return [...value].map((item, index) => [String(index), item]);
  if (value instanceof Map) return [...value].map(([key, item]) => [String(key), item]);
  const prototype: unknown = Object.getPrototypeOf(value);
  return prototype === Object.prototype || prototype === null ? Object.entries(value) : [];
}

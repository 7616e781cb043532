/** What layers are called: readable, unique among siblings, and the same in every process. */
import { isContainer, type LayerLike, type Part } from './parts.ts';

/** Names for the parts of one holder, in their order. */
export function readableNames(parts: readonly Part[], holderName: string): string[] {
  // Some models put the path into every layer's name, where it would stand twice.
  const ownNames = parts.map((part) => withoutPrefix(ownName(part), `${holderName}/`));
  const own = new Set(ownNames);
  const taken = new Set<string>();
  return parts.map((part, index) => {
    const stem = automaticStem(part.layer);
    const name = ownNames[index] ?? firstFree(`${stem}_`, 0, (tried) => taken.has(tried) || own.has(tried));
    const unique = taken.has(name) ? firstFree(`${name}_`, 2, (tried) => taken.has(tried) || own.has(tried)) : name;
    taken.add(unique);
    return unique;
  });
}

/** A model's name where somebody gave it one; `model_1` and the like for the second model of a monitor that has none. */
export function readableModelName(name: string, place: number): string {
  const automatic = /^(model|functional|sequential)_?\d+$/.exec(name);
  return automatic === null ? name : `${automatic[1]}_${place}`;
}

/** The name that the user chose, if any: the layer's own, or that of the field that holds it. */
function ownName({ layer, field }: Part): string | undefined {
  return automaticStem(layer) === undefined ? layer.name : field;
}

/**
 * Layers without a name of their own are called like `add_Add7`, and models like `model3`, counting all that the process ever
 * made. Their place among their siblings stays the same from start to start: `add_0`, `add_1`.
 */
function automaticStem(layer: LayerLike): string | undefined {
  const className = layer.getClassName();
  // Also `dense_Dense1_input`, in front of a Sequential.
  if (className === 'InputLayer') return /^input_?\d+$|_[A-Z]\w*\d+_input$/.test(layer.name) ? 'input' : undefined;
  const stem = snakeCase(className);
  const prefixes = isContainer(layer) ? [stem, `${stem}_`] : [`${stem}_${className}`];
  const isAutomatic = prefixes.some(
    (prefix) => layer.name.startsWith(prefix) && /^\d+$/.test(layer.name.slice(prefix.length)),
  );
  return isAutomatic ? stem : undefined;
}

/** As tfjs makes names of classes: LayerNormalization -> layer_normalization. */
function snakeCase(className: string): string {
  const name = className
    .replace(/(.)([A-Z][a-z0-9]+)/g, '$1_$2')
    .replace(/([a-z])([A-Z])/g, '$1_$2')
    .toLowerCase();
  return name.startsWith('_') ? `private${name}` : name;
}

function withoutPrefix(name: string | undefined, prefix: string): string | undefined {
  return name?.startsWith(prefix) === true && name.length > prefix.length ? name.slice(prefix.length) : name;
}

function firstFree(stem: string, from: number, isTaken: (name: string) => boolean): string {
  let count = from;
  while (isTaken(`${stem}${count}`)) count += 1;
  return `${stem}${count}`;
}

/** Which of a model's layers are measured. Sites are called by their layers' paths. */
import { OutlierscopeError } from '../../src/errors.ts';
import { type SiteKind, siteKinds } from '../../src/messages.ts';
import { type FoundLayer, findLayers } from './layers.ts';
import { isContainer, isLayer, type LayerLike, partsOf } from './parts.ts';
import { describe, isSymbolic } from './tensors.ts';

/** One way to name layers: a kind, a name or path of a layer, or a pattern for paths. */
export type SiteSelector = SiteKind | (string & {}) | RegExp;

/** What the user asked for; undefined for the residual stream. */
export type SiteChoice = readonly SiteSelector[] | undefined;

/** Layers to watch. */
export interface ChosenLayers {
  readonly measured: FoundLayer[];
  /** Layers of classes whose attention is asked for. */
  readonly attention: FoundLayer[];
}

/**
 * What holds the layers of what the user attached: a model, a layer, or an object that holds some.
 * @throws OutlierscopeError `not-a-model`.
 */
export function holderOfLayers(attached: unknown): object {
  if (isLayer(attached)) return modelInside(attached);
  const parts = typeof attached !== 'object' || attached === null || isSymbolic(attached) ? [] : partsOf(attached);
  if (parts.length === 0) {
    throw new OutlierscopeError(`attach needs a TensorFlow.js model or layer, received ${describe(attached)}`, {
      code: 'not-a-model',
      hint: 'for a model of plain operations use monitor.tap(name, tensor)',
    });
  }
  // A class around one model is that model to everybody.
  return parts.length === 1 ? (parts[0] as { layer: object }).layer : (attached as object);
}

/**
 * tf.Sequential runs, and hands to callbacks, a model that it builds inside, where a nested model in first place is unfolded:
 * sites are called the same by whatever way they come.
 */
function modelInside(layer: LayerLike): LayerLike {
  const { model } = layer as { model?: unknown };
  return layer.getClassName() === 'Sequential' && isLayer(model) && isContainer(model) ? model : layer;
}

/**
 * Chooses the layers to watch.
 * @throws OutlierscopeError `no-site` when nothing matches, or a selector or class does not, listing what there is: measuring
 * nothing in silence is the worst failure.
 */
export function chooseLayers(model: object, choice: SiteChoice, attentionClasses: readonly string[]): ChosenLayers {
  const found = findLayers(model);
  const unknown = attentionClasses.filter((name) => !found.some(({ className }) => className === name));
  if (unknown.length > 0) throw noSite(`no layer is of class ${unknown.join(', ')} (option attention)`, model, found);
  return {
    measured: choose(model, found, choice),
    attention: found.filter(({ className }) => attentionClasses.includes(className)),
  };
}

/** The layers whose outputs are measured. @throws OutlierscopeError `no-site`. */
export function chooseSites(model: object, choice: SiteChoice): FoundLayer[] {
  return choose(model, findLayers(model), choice);
}

function choose(model: object, found: readonly FoundLayer[], choice: SiteChoice): FoundLayer[] {
  if (choice === undefined) {
    const stream = found.filter(({ kind }) => kind === 'residual');
    if (stream.length === 0) throw noSite('no layer is part of a residual stream (Add layers, blocks)', model, found);
    return stream;
  }
  const unmatched = choice.filter((selector) => !found.some((layer) => matches(layer, selector)));
  if (unmatched.length > 0) throw noSite(`no layer matches ${unmatched.join(', ')}`, model, found);
  return found.filter((layer) => choice.some((selector) => matches(layer, selector)));
}

function matches({ path, layer, kind }: FoundLayer, selector: SiteSelector): boolean {
  if (selector instanceof RegExp) return path.search(selector) !== -1; // unlike test(), keeps no place in a global pattern
  return selector === path || selector === layer.name || selector === kind;
}

function noSite(what: string, model: object, found: readonly FoundLayer[]): OutlierscopeError {
  const most = 60;
  const layers = found.slice(0, most).map(({ path, className, kind }) => `${path} (${className}, ${kind})`);
  const more = found.length > most ? ` and ${found.length - most} more` : '';
  return new OutlierscopeError(`${what} in ${isLayer(model) ? `model ${model.name}` : describe(model)}`, {
    code: 'no-site',
    hint:
      `the option sites takes names, patterns and kinds (${siteKinds.join(', ')}); ` +
      `the model has ${layers.length === 0 ? 'no layers' : layers.join(', ')}${more}`,
  });
}

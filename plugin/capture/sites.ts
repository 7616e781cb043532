/** Which of a model's layers are measured, and what their sites are called. */
import { OutlierscopeError } from '../../src/errors.ts';
import { type SiteKind, siteKinds } from '../../src/messages.ts';
import { type FoundLayer, findLayers, type LayerLike } from './layers.ts';

/** One way to name layers: a kind, a name or path of a layer, or a pattern for paths. */
export type SiteSelector = SiteKind | (string & {}) | RegExp;

/** What the user asked for; nothing for the residual stream. */
export type SiteChoice = readonly SiteSelector[] | undefined;

/**
 * Chooses the layers to watch. Sites are called by their layers' paths.
 * @throws OutlierscopeError `no-site` when nothing matches, or a selector does not, listing what there is: measuring nothing in
 * silence is the worst failure.
 */
export function chooseSites(model: LayerLike, choice: SiteChoice): FoundLayer[] {
  const found = findLayers(model);
  if (choice === undefined) {
    const chosen = residualStream(found);
    if (chosen.length === 0) throw noSite('no layer is part of a residual stream (Add layers, blocks)', model, found);
    return chosen;
  }
  const unmatched = choice.filter((selector) => !found.some((layer) => matches(layer, selector)));
  if (unmatched.length > 0) throw noSite(`no layer matches ${unmatched.join(', ')}`, model, found);
  return found.filter((layer) => choice.some((selector) => matches(layer, selector)));
}

/**
 * The outputs of Add layers; without any, those of blocks. The output of a block that ends in an Add layer is that layer's
 * output: measured once.
 */
function residualStream(found: readonly FoundLayer[]): FoundLayer[] {
  const adds = found.filter(({ className }) => className === 'Add');
  return adds.length > 0 ? adds : found.filter(({ kind }) => kind === 'residual');
}

function matches({ path, layer, kind }: FoundLayer, selector: SiteSelector): boolean {
  if (selector instanceof RegExp) return path.search(selector) !== -1; // unlike test(), keeps no place in a global pattern
  return selector === path || selector === layer.name || selector === kind;
}

function noSite(what: string, model: LayerLike, found: readonly FoundLayer[]): OutlierscopeError {
  const most = 60;
  const layers = found.slice(0, most).map(({ path, className, kind }) => `${path} (${className}, ${kind})`);
  const more = found.length > most ? ` and ${found.length - most} more` : '';
  return new OutlierscopeError(`${what} in model ${model.name}`, {
    code: 'no-site',
    hint:
      `the option sites takes names, patterns and kinds (${siteKinds.join(', ')}); ` +
      `the model has ${layers.length === 0 ? 'no layers' : layers.join(', ')}${more}`,
  });
}

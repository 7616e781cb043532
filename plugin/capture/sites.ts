/** Which of a model's layers are measured, and what their sites are called. */
import { OutlierscopeError } from '../../src/errors.ts';
import type { WatchedLayer } from './capture.ts';
import { type FoundLayer, findLayers, type LayerLike } from './layers.ts';

/** What the user may ask for: names or paths of layers, a pattern for the path, or nothing for the residual stream. */
export type SiteChoice = readonly string[] | RegExp | undefined;

/**
 * Chooses the layers to watch; a site is called by its layer's path.
 * @throws OutlierscopeError when nothing matches, listing what there is: measuring nothing in silence is the worst failure.
 */
export function chooseSites(model: LayerLike, choice: SiteChoice): WatchedLayer[] {
  const found = findLayers(model);
  const chosen = choice === undefined ? residualStream(found) : found.filter((layer) => matches(layer, choice));
  const missing = Array.isArray(choice) ? choice.filter((name) => !found.some((layer) => matches(layer, [name]))) : [];
  if (chosen.length === 0 || missing.length > 0) {
    throw new OutlierscopeError(
      `${missing.length > 0 ? `no layer is called ${missing.join(', ')}` : `no layer matches ${choice ?? 'the residual stream (Add layers and blocks)'}`} in model ${model.name}`,
      { code: 'no-site', hint: `choose with the option sites: [name, …] or a RegExp, from: ${listed(found)}` },
    );
  }
  return chosen.map((layer) => ({ ...layer, name: layer.path }));
}

/** The outputs of Add layers; without any, those of blocks. */
function residualStream(found: readonly FoundLayer[]): FoundLayer[] {
  const adds = found.filter(({ className }) => className === 'Add');
  return adds.length > 0 ? adds : found.filter(({ kind }) => kind === 'residual');
}

function matches({ path, layer }: FoundLayer, choice: readonly string[] | RegExp): boolean {
  return choice instanceof RegExp ? choice.test(path) : choice.includes(path) || choice.includes(layer.name);
}

function listed(found: readonly FoundLayer[]): string {
  const most = 60;
  const names = found.slice(0, most).map(({ path, className }) => `${path} (${className})`);
  return found.length > most ? `${names.join(', ')} and ${found.length - most} more` : names.join(', ');
}

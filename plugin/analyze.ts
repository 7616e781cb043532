/** Measures a model on given inputs, without training it: the same sites, probe and metrics as in training, but gradients. */
import * as tf from '@tensorflow/tfjs-core';
import type { LayersModel } from '@tensorflow/tfjs-layers';
import { siteMetric } from '../src/catalogue.ts';
import { OutlierscopeError } from '../src/errors.ts';
import type { Site } from '../src/messages.ts';
import { Capture } from './capture/capture.ts';
import { findLayers, isLayer } from './capture/layers.ts';
import { StepProbe } from './capture/probe.ts';
import { chooseSites } from './capture/sites.ts';
import { describe, whyNotMeasurable } from './capture/tensors.ts';
import { activationParts } from './measure/layout.ts';
import { measureSite, type SiteMeasurement } from './measure/site.ts';
import { type MonitorOptions, resolveOptions } from './options.ts';

/** The monitor's options that say what is measured. */
export type AnalyzeOptions = Pick<MonitorOptions, 'sites' | 'metrics' | 'attention' | 'topNeurons'> & {
  /** Rows of the input that go through the model at once. Default 32. */
  readonly batchSize?: number;
};

/** One site of a model that was analyzed. */
export interface AnalyzedSite extends Site, SiteMeasurement {}

/** A site that could not be measured, and why. */
export interface SkippedSite {
  readonly name: string;
  readonly reason: string;
}

export interface Analysis {
  /** In the order in which the model runs them. */
  readonly sites: readonly AnalyzedSite[];
  readonly skipped: readonly SkippedSite[];
}

/**
 * Runs the model on `inputs` and measures its sites; all batches together count as the rows of one.
 * @throws OutlierscopeError for a model that is none (`not-a-model`), a site that does not exist (`no-site`), or an option that is
 * not right; and whatever the model throws.
 */
export function analyze(model: LayersModel, inputs: tf.Tensor | tf.Tensor[], options: AnalyzeOptions = {}): Analysis {
  const { batchSize = 32, ...measured } = options;
  const settings = resolveOptions({ metrics: 'full', ...measured }, {});
  if (!isLayer(model)) {
    throw new OutlierscopeError(`analyze needs a TensorFlow.js model, received ${describe(model)}`, {
      code: 'not-a-model',
      hint: 'load it with tf.loadLayersModel',
    });
  }
  const skipped = new Map<string, string>();
  const sites = new Map<string, Site>();
  const probe = new StepProbe(
    { activations: activationParts(settings.metrics), gradients: 'left out' },
    (site, error) => skipped.set(site, error instanceof Error ? error.message : String(error)),
  );
  const capture = new Capture();
  capture.add(chooseSites(model, settings.sites), model.name, 'output');
  const hasAdapter = (className: string) => Object.hasOwn(settings.attention, className);
  capture.add(
    findLayers(model).filter(({ className }) => hasAdapter(className)),
    model.name,
    'attention only',
  );
  capture.install(({ watched, site, inputs: given, kwargs }, output) => {
    const { kind, path, className, layer } = watched;
    const why = whyNotMeasurable(output);
    if (why !== undefined) skipped.set(site, why);
    else {
      sites.set(site, { name: site, kind, path, width: output.shape[output.rank - 1] as number });
      if (watched.measured === 'output') probe.observeOnly(site, output);
      const adapter = settings.attention[className];
      if (adapter !== undefined) probe.observeAttention(site, () => adapter({ layer, inputs: given, kwargs, output }));
    }
    return output;
  });
  try {
    tf.dispose(model.predict(inputs, { batchSize }));
    const download = probe.gather([]);
    const seen = probe.finish(download.dataSync<'float32'>()).sites;
    download.dispose();
    const wanted = new Set<string>(settings.metrics.filter((name) => siteMetric(name)?.of !== 'gradients'));
    return {
      sites: [...sites.values()].flatMap((site) => {
        const observed = seen.get(site.name);
        if (observed === undefined) return [];
        const { metrics, topNeurons } = measureSite(observed, settings.topNeurons);
        const chosen = Object.fromEntries(Object.entries(metrics).filter(([name]) => wanted.has(name)));
        return [{ ...site, metrics: chosen, topNeurons }];
      }),
      skipped: [...skipped].map(([name, reason]) => ({ name, reason })),
    };
  } finally {
    capture.remove();
    probe.dispose();
  }
}

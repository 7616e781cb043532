// One training step through the plugin's probe, as the engine does it: forward, backward, one download at its end.
import * as tf from '@tensorflow/tfjs-core';
import { type Observed, StepProbe } from '../../plugin/capture/probe.ts';
import { DeviceReduction } from '../../plugin/measure/device-reduction.ts';
import { HostReduction } from '../../plugin/measure/host-reduction.ts';
import { activationParts } from '../../plugin/measure/layout.ts';
import type { SiteMetrics } from '../../plugin/measure/metrics.ts';
import { measureSite, type SiteMeasurement } from '../../plugin/measure/site.ts';
import { metricsOfGroup } from '../../src/catalogue.ts';

/** Activations [..., width] of one forward pass, and the gradient by them. */
export interface Pass {
  readonly shape: readonly number[];
  readonly data: Float32Array;
  readonly gradient: Float32Array;
}

/** [..., queries, keys] */
export interface AttentionPass {
  readonly shape: readonly number[];
  readonly weights?: Float32Array;
  readonly logits?: Float32Array;
}

/** Both ways to reduce, on any backend. */
export const places = { host: HostReduction, device: DeviceReduction };
export type Place = keyof typeof places;

/** Every metric of activations and gradients, and the five largest neurons. */
export function measureStep(place: Place, ...passes: readonly Pass[]): SiteMeasurement {
  const measured = measureSites(
    place,
    passes.map((pass) => ['site', pass] as const),
  );
  return measured.get('site') as SiteMeasurement;
}

/** The same of several sites in one step. */
export function measureSites(place: Place, passes: readonly (readonly [string, Pass])[]): Map<string, SiteMeasurement> {
  const seen = probed(place, (probe) => {
    for (const [site, pass] of passes) throughProbe(probe, site, pass);
  });
  return new Map([...seen].map(([site, observed]) => [site, measureSite(observed, 5)]));
}

export function measureAttentionStep(...passes: readonly AttentionPass[]): SiteMetrics {
  const seen = probed('host', (probe) => {
    for (const { shape, weights, logits } of passes) {
      // In a function that is differentiated, as a forward pass is.
      const forward = (x: tf.Tensor): tf.Tensor => {
        probe.observeAttention('site', () => ({
          ...(weights && { weights: tf.tensor(weights, [...shape]) }),
          ...(logits && { logits: tf.tensor(logits, [...shape]) }),
        }));
        return tf.square(x);
      };
      tf.tidy(() => void tf.grad(forward)(tf.scalar(1)));
    }
  });
  return measureSite(seen.get('site') as Observed, 5).metrics;
}

/** What the probe hands on, and hands back. */
export function observeOnce(place: Place, pass: Pass): { value: Float32Array; passedBack: Float32Array } {
  let result: ReturnType<typeof observeOnce> | undefined;
  probed(place, (probe) => {
    result = throughProbe(probe, 'site', pass);
  });
  return result as ReturnType<typeof observeOnce>;
}

function throughProbe(probe: StepProbe, site: string, { shape, data, gradient }: Pass): ReturnType<typeof observeOnce> {
  let value: Float32Array | undefined;
  let passedBack: Float32Array | undefined;
  // tf.tidy looks for tensors in what it returns, value by value in a typed array: so it returns nothing.
  tf.tidy(() => {
    const [x, dy] = [tf.tensor(data, [...shape]), tf.tensor(gradient, [...shape])];
    // The gradient of sum(x * dy) by x is dy.
    const gradientOf = tf.grad((activations) => {
      const observed = probe.observe(site, activations);
      value = observed.dataSync<'float32'>().slice();
      return tf.sum(tf.mul(observed, dy));
    });
    passedBack = gradientOf(x).dataSync<'float32'>().slice();
  });
  return { value, passedBack } as { value: Float32Array; passedBack: Float32Array };
}

function probed(place: Place, step: (probe: StepProbe) => void): ReadonlyMap<string, Observed> {
  const faults: unknown[] = [];
  const parts = { activations: activationParts(metricsOfGroup('full')), gradients: 'measured' } as const;
  const probe = new StepProbe(parts, (_, error) => faults.push(error), new places[place]());
  try {
    step(probe);
    const download = probe.gather([]);
    const { sites } = probe.finish(download.dataSync<'float32'>());
    download.dispose();
    if (faults.length > 0) throw faults[0];
    return sites;
  } finally {
    probe.dispose();
  }
}

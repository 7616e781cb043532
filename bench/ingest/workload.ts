/** What is sent to every server: the same runs, sites, metrics and values. Pure. */
import { siteMetrics } from '../../src/catalogue.ts';
import { encodeFrame, noNeuron } from '../../src/frame.ts';
import type { Hello } from '../../src/messages.ts';

/** 64 trainers, each with 100 sites and 12 metrics: 1,200 samples a frame, 76,800 series. */
export const runs = 64;
export const sites = 100;
export const metrics: readonly string[] = siteMetrics.slice(0, 12).map((metric) => metric.name);
export const samplesPerFrame: number = sites * metrics.length;

const neurons = 0;
const firstTime = Date.UTC(2026, 0, 1);
const stepMilliseconds = 100;

export const runIdOf = (prefix: string, run: number): string => `${prefix}-${run}`;
export const siteNameOf = (site: number): string =>
  `h${Math.floor(site / 4)}/${['residual', 'attention', 'mlp', 'norm'][site % 4]}`;
/** Time of a frame: recent, and one after the other. */
export const timeOf = (start: number, sequence: number): number => start + sequence * stepMilliseconds;

export function helloOf(runId: string): Hello {
  return {
    type: 'hello',
    protocol: 1,
    runId,
    runName: runId,
    catalogue: 1,
    startedAt: firstTime,
    sites: Array.from({ length: sites }, (_, site) => ({
      name: siteNameOf(site),
      kind: 'custom',
      path: siteNameOf(site),
      width: 768,
    })),
    metrics: [...metrics],
    scalars: ['loss'],
    topNeurons: neurons,
    tags: {},
    config: {},
  };
}

/** Values of a frame as they come from a training step: no two alike. A rule on kurtosis does not fire. */
export function valuesOf(random: () => number): Float32Array {
  return Float32Array.from({ length: samplesPerFrame }, () => 1 + random());
}

/** An encoded frame of the sequence number 0, of which only sequence, step and time are to be written anew. */
export function frameOf(random: () => number): Uint8Array {
  return encodeFrame(
    {
      sequence: 0,
      step: 0,
      time: firstTime,
      scalars: Float64Array.of(2 + random()),
      values: valuesOf(random),
      topNeurons: {
        count: neurons,
        indices: new Uint32Array(sites * neurons).fill(noNeuron),
        shares: new Float32Array(sites * neurons),
      },
    },
    metrics.length,
  );
}

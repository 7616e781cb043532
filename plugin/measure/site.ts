/** All metrics of one site at one step. */
import { measureAttention } from './attention.ts';
import {
  measureActivations,
  measureGradients,
  type Seen,
  type SiteMetrics,
  type TopNeuron,
  topNeurons,
} from './metrics.ts';

/** What was seen at a site; a part without summaries was not measured. */
export interface SeenSite {
  readonly activations: Seen;
  readonly gradients: Seen;
  /** Statistics of each pass (attention.ts). */
  readonly attention: readonly Float32Array[];
}

export interface SiteMeasurement {
  readonly metrics: SiteMetrics;
  readonly topNeurons: readonly TopNeuron[];
}

/** Measures a site; `count` is how many neurons are listed. */
export function measureSite({ activations, gradients, attention }: SeenSite, count: number): SiteMeasurement {
  const seen = activations.summaries.length > 0;
  return {
    metrics: {
      ...(seen && measureActivations(activations)),
      ...(gradients.summaries.length > 0 && measureGradients(gradients)),
      ...(attention.length > 0 && measureAttention(attention)),
    },
    topNeurons: seen ? topNeurons(activations, count) : [],
  };
}

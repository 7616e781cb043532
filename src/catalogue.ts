/**
 * The metric catalogue: the one place that says what is measured, in which unit, by which formula and under which name.
 * The exposition, the page, the dashboards and docs/metrics.md derive from it or are tested against it.
 *
 * Notation: X is a site's activations, n rows (batch x positions) by d neurons (the last axis);
 * s_j = sqrt(1/n sum_a X_aj^2) is the RMS of neuron j; "He et al." is arXiv 2405.19279.
 */

/** What a metric costs: each group holds the ones before it. */
export const metricGroups = ['essential', 'standard', 'full'] as const;
export type MetricGroup = (typeof metricGroups)[number];

/** Which way a metric goes when training gets sick. */
export type Worse = 'higher' | 'lower' | 'either';

interface Entry {
  readonly name: string;
  /** Base unit in words; `ratio` for numbers without one. */
  readonly unit:
    | 'ratio'
    | 'activation'
    | 'gradient'
    | 'decibels'
    | 'values'
    | 'nats'
    | 'neurons'
    | 'logit'
    | 'seconds'
    | 'loss'
    | 'per step';
  /** The formula, or how the number is come by. */
  readonly definition: string;
  /** Where the definition comes from. */
  readonly reference: string;
  readonly worse: Worse;
  readonly prometheus: { readonly name: string; readonly help: string };
}

/** A number measured at one site at one sampled step. */
export interface SiteMetric extends Entry {
  readonly group: MetricGroup;
  /** The tensors that it is measured on. */
  readonly of: 'activations' | 'gradients' | 'attention';
}

/** A number that a whole frame has once. */
export type FrameScalar = Entry;

const paper = 'He et al.';

/** Version of this list: it changes whenever the meaning of a name changes, never when one is added. */
export const catalogueVersion = 1;

/** Every site metric, in the order in which frames carry them. */
export const siteMetrics = [
  {
    name: 'kurtosis',
    unit: 'ratio',
    group: 'essential',
    of: 'activations',
    definition: 'mean_j(s_j^4) / mean_j(s_j^2)^2: 1 when all neurons are equally large, d when one holds everything',
    reference: `${paper}, Eq. 1`,
    worse: 'higher',
    prometheus: {
      name: 'outlierscope_kurtosis',
      help: "Kurtosis of neuron RMS, mean(s^4)/mean(s^2)^2 over neurons (He et al. Eq. 1): 1 is no outlier, the layer's width is one neuron alone.",
    },
  },
  {
    name: 'kurtosis_centred',
    unit: 'ratio',
    group: 'essential',
    of: 'activations',
    definition:
      "the same on X minus each row's mean over the width; (kurtosis_centred - 1) * d / (d - 1) is what the authors' code reports",
    reference: `${paper}, authors' code`,
    worse: 'higher',
    prometheus: {
      name: 'outlierscope_kurtosis_centred',
      help: "Kurtosis of neuron RMS after each row's mean over the width is taken away (convention of the code of He et al.).",
    },
  },
  {
    name: 'input_correlation',
    unit: 'ratio',
    group: 'essential',
    of: 'activations',
    definition:
      'mean over rows a != b of <x_a, x_b> / (d * mean(X^2)): towards 1 all inputs look alike to deeper layers',
    reference: `${paper}, signal propagation`,
    worse: 'higher',
    prometheus: {
      name: 'outlierscope_input_correlation',
      help: 'Mean off-diagonal entry of X X^T / (d rms^2), signal propagation in He et al.: towards 1 is rank collapse.',
    },
  },
  {
    name: 'rms',
    unit: 'activation',
    group: 'essential',
    of: 'activations',
    definition: 'sqrt(mean(X^2))',
    reference: 'root mean square',
    worse: 'either',
    prometheus: { name: 'outlierscope_rms', help: 'Root mean square of all activations of the site.' },
  },
  {
    name: 'absmax',
    unit: 'activation',
    group: 'essential',
    of: 'activations',
    definition: 'max |X|',
    reference: 'the scale of per-tensor absmax quantisation',
    worse: 'higher',
    prometheus: { name: 'outlierscope_absmax', help: 'Largest absolute activation of the site.' },
  },
  {
    name: 'nonfinite',
    unit: 'values',
    group: 'essential',
    of: 'activations',
    definition: 'number of activations that are NaN or infinite',
    reference: 'IEEE 754',
    worse: 'higher',
    prometheus: {
      name: 'outlierscope_nonfinite_values',
      help: 'Activations of the site that are NaN or infinite at the sampled step.',
    },
  },
  {
    name: 'max_median_ratio',
    unit: 'ratio',
    group: 'standard',
    of: 'activations',
    definition:
      'mean over rows a of max_j |X_aj| / median_j |X_aj|, the median being the lower middle value; over at most 64 evenly spread rows',
    reference: `${paper}, Eq. 2`,
    worse: 'higher',
    prometheus: {
      name: 'outlierscope_max_median_ratio',
      help: 'Mean over rows of largest / median absolute activation (He et al. Eq. 2), on at most 64 evenly spread rows.',
    },
  },
  {
    name: 'int8_sqnr',
    unit: 'decibels',
    group: 'standard',
    of: 'activations',
    definition:
      '10 log10(sum x^2 / sum (x - q)^2) with q = scale * round(x / scale), scale = max |X| / 127 over the whole tensor, the sums over at most 64 rows',
    reference: 'symmetric per-tensor absmax quantisation to int8, rounding half to even',
    worse: 'lower',
    prometheus: {
      name: 'outlierscope_int8_sqnr_decibels',
      help: 'Signal to quantisation noise of the site after int8 rounding with one scale for the tensor, on at most 64 rows: outliers lower it.',
    },
  },
  {
    name: 'gradient_rms',
    unit: 'gradient',
    group: 'standard',
    of: 'gradients',
    definition: 'sqrt(mean(G^2)), G the gradient of the loss by the activations of the site',
    reference: 'root mean square',
    worse: 'either',
    prometheus: {
      name: 'outlierscope_gradient_rms',
      help: 'Root mean square of the gradient of the loss by the activations of the site.',
    },
  },
  {
    name: 'gradient_kurtosis',
    unit: 'ratio',
    group: 'standard',
    of: 'gradients',
    definition: 'kurtosis of the neuron RMS of G',
    reference: `${paper}, Eq. 1, on gradients`,
    worse: 'higher',
    prometheus: {
      name: 'outlierscope_gradient_kurtosis',
      help: 'Kurtosis of neuron RMS (He et al. Eq. 1) of the gradient by the activations of the site.',
    },
  },
  {
    name: 'gradient_nonfinite',
    unit: 'values',
    group: 'standard',
    of: 'gradients',
    definition: 'number of values of G that are NaN or infinite',
    reference: 'IEEE 754',
    worse: 'higher',
    prometheus: {
      name: 'outlierscope_gradient_nonfinite_values',
      help: 'Values of the gradient by the activations of the site that are NaN or infinite.',
    },
  },
  {
    name: 'attention_entropy',
    unit: 'nats',
    group: 'standard',
    of: 'attention',
    definition: 'mean over queries of -sum_k p_k ln p_k, over at most 1024 evenly spread queries',
    reference: `${paper}; Zhai et al., arXiv 2303.06296`,
    worse: 'lower',
    prometheus: {
      name: 'outlierscope_attention_entropy_nats',
      help: 'Mean entropy of the attention weights over queries, in nats: towards 0 every query looks at one key.',
    },
  },
  {
    name: 'max_attention_logit',
    unit: 'logit',
    group: 'standard',
    of: 'attention',
    definition: 'largest attention logit before softmax, masked ones left out',
    reference: 'Dehghani et al., arXiv 2302.05442',
    worse: 'higher',
    prometheus: {
      name: 'outlierscope_max_attention_logit',
      help: 'Largest attention logit before softmax; growth without end precedes divergence.',
    },
  },
  {
    name: 'kurtosis_raw',
    unit: 'ratio',
    group: 'full',
    of: 'activations',
    definition:
      'E[x^4] / E[x^2]^2 over single activations: what other tools call activation kurtosis, a different number from kurtosis',
    reference: 'fourth standardised moment about 0',
    worse: 'higher',
    prometheus: {
      name: 'outlierscope_kurtosis_raw',
      help: 'E[x^4]/E[x^2]^2 over single activations, as other tools report it; not the kurtosis of neuron RMS.',
    },
  },
  {
    name: 'input_correlation_rms',
    unit: 'ratio',
    group: 'full',
    of: 'activations',
    definition:
      'root mean square over rows a != b of <x_a, x_b> / (d * mean(X^2)), over at most 512 evenly spread rows',
    reference: `${paper}, signal propagation`,
    worse: 'higher',
    prometheus: {
      name: 'outlierscope_input_correlation_rms',
      help: 'Root mean square off-diagonal entry of X X^T / (d rms^2), on at most 512 rows.',
    },
  },
  {
    name: 'feature_correlation_rms',
    unit: 'ratio',
    group: 'full',
    of: 'activations',
    definition:
      'root mean square over neurons i != j of (X^T X)_ij / (n * mean(X^2)), over at most 512 evenly spread rows',
    reference: `${paper}, appendix`,
    worse: 'higher',
    prometheus: {
      name: 'outlierscope_feature_correlation_rms',
      help: 'Root mean square off-diagonal entry of X^T X / (n rms^2), on at most 512 rows.',
    },
  },
  {
    name: 'effective_rank',
    unit: 'ratio',
    group: 'full',
    of: 'activations',
    definition:
      'participation ratio (sum lambda)^2 / sum lambda^2 of the eigenvalues of X^T X, over at most 512 evenly spread rows',
    reference: 'participation ratio of the uncentred second moments',
    worse: 'lower',
    prometheus: {
      name: 'outlierscope_effective_rank',
      help: 'Participation ratio of the eigenvalues of X^T X on at most 512 rows, from 1 (rank collapse) to the smaller of rows and width.',
    },
  },
] as const satisfies readonly SiteMetric[];

/** Every scalar that a frame carries by itself; users add their own beside these. */
export const frameScalars = [
  {
    name: 'loss',
    unit: 'loss',
    definition: 'the training loss of the sampled step',
    reference: 'the training loop',
    worse: 'higher',
    prometheus: { name: 'outlierscope_loss', help: 'Training loss at the last sampled step.' },
  },
  {
    name: 'learning_rate',
    unit: 'per step',
    definition: "the optimiser's learning rate at the sampled step",
    reference: 'the optimiser',
    worse: 'either',
    prometheus: { name: 'outlierscope_learning_rate', help: 'Learning rate at the last sampled step.' },
  },
  {
    name: 'gradient_norm',
    unit: 'gradient',
    definition: 'global norm of the gradients by the weights before clipping, where the optimiser or the loop gives it',
    reference: 'Pascanu et al., arXiv 1211.5063',
    worse: 'higher',
    prometheus: {
      name: 'outlierscope_gradient_norm',
      help: 'Global norm of the gradients by the weights before clipping, at the last sampled step.',
    },
  },
  {
    name: 'step_seconds',
    unit: 'seconds',
    definition: 'wall time of the sampled step, probes included',
    reference: 'monotonic clock',
    worse: 'higher',
    prometheus: {
      name: 'outlierscope_step_seconds',
      help: 'Wall time of the last sampled training step, probes included.',
    },
  },
  {
    name: 'probe_seconds',
    unit: 'seconds',
    definition: "wall time that the monitor's own work took within the sampled step",
    reference: 'monotonic clock',
    worse: 'higher',
    prometheus: {
      name: 'outlierscope_probe_seconds',
      help: "Wall time of the monitor's own work within the last sampled step.",
    },
  },
] as const satisfies readonly FrameScalar[];

export type SiteMetricName = (typeof siteMetrics)[number]['name'];
export type FrameScalarName = (typeof frameScalars)[number]['name'];

/** Names of the site metrics of a group, those of the cheaper groups included, in catalogue order. */
export function metricsOfGroup(group: MetricGroup): SiteMetricName[] {
  const limit = metricGroups.indexOf(group);
  return siteMetrics.filter((metric) => metricGroups.indexOf(metric.group) <= limit).map((metric) => metric.name);
}

/** The catalogue's entry of a site metric, or undefined for a name that it does not hold. */
export function siteMetric(name: string): SiteMetric | undefined {
  return siteMetrics.find((metric) => metric.name === name);
}

/** Writes docs/metrics.md from the metric catalogue: `npx tsx scripts/docs.ts`. A test compares the file with what this gives. */
import { writeFile } from 'node:fs/promises';
import { pathToFileURL } from 'node:url';
import { sampledRowCount } from '../plugin/measure/rows.ts';
import { catalogueVersion, type FrameScalar, frameScalars, type SiteMetric, siteMetrics } from '../src/catalogue.ts';

export const metricsFile: URL = new URL('../docs/metrics.md', import.meta.url);

const lineLength = 140;

const header = `\
<!-- Written by \`npx tsx scripts/docs.ts\` from src/catalogue.ts: change those, not this file. -->
# Metrics

Version ${catalogueVersion} of the catalogue. It changes when the meaning of a name changes, not when a name is added.

## Notation
A **site** is one place in the model. Its activations at a sampled step are a tensor [..., d], read as a matrix X of n rows
(the product of all axes but the last: batch x positions) by d neurons (the last axis, the site's width). G is the gradient of
the loss by X, of the same shape. \`s_j = sqrt(1/n sum_a X_aj^2)\` is the **neuron RMS**, one number for each neuron j;
\`p_j = s_j^2 / sum_i s_i^2\` is the neuron's share of the site's energy, which frames list for the top neurons.
"He et al." is [arXiv 2405.19279](https://arxiv.org/abs/2405.19279).
`;

const footer = `\
## How to read kurtosis
\`kurtosis = d sum_j p_j^2\`. If k of the d neurons share the energy equally and the others are 0, it is d / k: 1 where all neurons are
alike, d where one holds everything. It does not change when X is multiplied by a number. It depends on the width: compare it between
sites and runs of one width. [rules.md](rules.md) says which values are healthy.

## Conventions
- **Three numbers are called kurtosis; none is another.** \`kurtosis\` is Eq. 1: of neuron RMS, uncentred. \`kurtosis_centred\` first takes
  each row's mean over the width away. The authors' code does that too, divides by the global RMS, and reports the variance of s_j^2
  with divisor d - 1, which equals \`(kurtosis_centred - 1) * d / (d - 1)\`. \`kurtosis_raw\` is the fourth moment of single activations,
  which other tools call activation kurtosis.
- **Median**: of an even number of values the lower middle one, as \`torch.median\` has it.
- **input_correlation** is uncentred, and scaled by the mean energy of all rows: the mean entry off the diagonal, not a mean cosine.
  It needs no Gram matrix: \`sum over a != b of <x_a, x_b> = |sum_a x_a|^2 - sum_a |x_a|^2\`.
- **effective_rank** lies between 1 and min(n, d), n being the number of rows looked at.
- **int8_sqnr** rounds symmetrically with one scale, max |X| / 127 of the whole tensor, and half to even.
- **Gradients** are those of the loss as the loop differentiates it, so gradient_rms scales with it (a mean over the batch divides by the
  batch); gradient_kurtosis does not.
- **Attention** is measured where the option \`attention\` has an adapter for the layer's class, or the loop calls \`tapAttention\`
  ([options.md](options.md)). Logits at or below -1e8 count as masked.
- **Several forward passes in one step** (gradient accumulation) count as the rows of one: exactly so for what follows from column
  moments, counts and maxima; max_median_ratio and the metrics of Gram matrices are averaged over the passes, weighted by rows;
  int8_sqnr sums signal and noise; attention_entropy is the mean over passes. A layer shared by several places of the model has a site
  for each: \`name\`, \`name#2\`, ...
- **Precision**: reduced to column moments in float32 on the device, evaluated in float64 on the host, kept as float32 in the frame. Where
  the largest magnitude leaves 1e-12 to 1e16 (1e-6 to 1e6 with kurtosis_raw or a Gram metric), X is scaled to about 1 by a power of two and
  reduced again, so that no square overflows or vanishes.

## Subsampled rows
max_median_ratio and int8_sqnr look at no more than ${sampledRowCount.sample} rows; input_correlation_rms, feature_correlation_rms and effective_rank at
no more than ${sampledRowCount.gram}; attention_entropy at no more than ${sampledRowCount.queries} queries. All other metrics see every row. Of n rows, count are taken:
row \`floor(n * frac((i + 0.5) * (sqrt(5) - 1) / 2))\` for i = 0 .. count - 1; all n where there are no more than count. An even stride
would fall into step with the sequence length and see, for instance, only first positions. Of rows drawn twice, which happens where n is
little larger than count, one moves to a free row beside it.

## Edge results
NaN means "not defined". What was not measured is apart from it ([protocol.md](protocol.md)): \`null\` in the JSON API, no sample in
/metrics. NaN and infinities are kept as they are (in alerts an infinity is the largest finite number).

| X | result |
|---|---|
| all zeros | rms, absmax and nonfinite are 0, all else NaN; no top neurons |
| magnitudes below 1.2e-38 (subnormal) | as zeros |
| a value is NaN or infinite | nonfinite (gradient_nonfinite) counts it, the other metrics of that tensor are NaN; no top neurons |
| a sampled row whose median is 0 | max_median_ratio is Infinity (NaN where the whole row is 0) |
| X lies on the grid of int8 (all of one magnitude) | int8_sqnr is Infinity, or above 120 by float32's rounding |
| each row is constant over the width up to rounding, or d = 1 | kurtosis_centred is NaN |
| one row (n = 1) | input_correlation and input_correlation_rms are NaN |
| one neuron (d = 1) | kurtosis is 1, feature_correlation_rms NaN |
| every key of every query is masked | max_attention_logit is NaN |

## Groups and their cost
The option \`metrics\` takes a group or a list of names ([options.md](options.md)). A group holds the cheaper ones.

| group | computed for each site and pass | on a device: float32 values downloaded |
|---|---|---|
| essential | the maximum; column means of X, of its squares and of its row-centred squares: O(n d) | 3 d + 1 |
| standard | maximum and column means of the squares of G; 64 rows looked at; attention statistics | + 64 d + d + 1, + 2 for attention |
| full | column means of fourth powers; a Gram matrix of the smaller side of 512 rows | + d, and a few vectors of the length of its sides |

Where tensors lie in host memory (tfjs-node, WebAssembly, plain JavaScript), they are reduced there by one pass as they go by, in at least
float32 with sums in float64. On a GPU all sites of a step are reduced there and read back in one download. Nothing of it happens on
steps that are not sampled. A name that needs a part brings that part alone: \`metrics: ['kurtosis']\` takes d + 1 values. Columns that
no site can fill at the first sampled step (attention without an adapter, gradients of nothing) are left out of the run.
`;

/** The text of docs/metrics.md. */
export function metricsPage(): string {
  return [
    header,
    '## Site metrics',
    'One number for each site. "Worse" is the way that the number goes when training gets sick.\n',
    table(
      ['name', 'unit', 'group', 'measured on', 'worse', 'Prometheus'],
      (siteMetrics as readonly SiteMetric[]).map((metric) => [
        code(metric.name),
        metric.unit,
        metric.group,
        metric.of,
        metric.worse,
        code(metric.prometheus.name),
      ]),
    ),
    definitions(siteMetrics),
    '## Scalars of a frame',
    'One number for each frame. A run may have more, named by the user; Prometheus has those as `outlierscope_user_scalar{run="...",name="..."}`.\n',
    table(
      ['name', 'unit', 'worse', 'Prometheus'],
      frameScalars.map(({ name, unit, worse, prometheus }) => [code(name), unit, worse, code(prometheus.name)]),
    ),
    definitions(frameScalars),
    footer,
  ].join('\n');
}

function definitions(entries: readonly FrameScalar[]): string {
  const items = entries.map(({ name, definition, reference }) =>
    wrapped(`- **${name}**: ${definition}. Reference: ${reference}.`),
  );
  return `${items.join('\n')}\n`;
}

/** A list item broken into lines. */
function wrapped(item: string): string {
  const lines: string[] = [];
  let line = '';
  for (const word of item.split(' ')) {
    if (line !== '' && line.length + 1 + word.length > lineLength) {
      lines.push(line);
      line = `  ${word}`;
    } else line = line === '' ? word : `${line} ${word}`;
  }
  return [...lines, line].join('\n');
}

function table(head: readonly string[], rows: readonly (readonly string[])[]): string {
  const line = (cells: readonly string[]): string => `| ${cells.join(' | ')} |`;
  return `${[line(head), `|${'---|'.repeat(head.length)}`, ...rows.map(line)].join('\n')}\n`;
}

function code(text: string): string {
  return `\`${text}\``;
}

if (import.meta.url === pathToFileURL(process.argv[1] ?? '').href) await writeFile(metricsFile, metricsPage());

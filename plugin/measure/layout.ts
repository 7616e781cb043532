/** What a summary holds and how it lies in the vector that is downloaded. Knows nothing of TensorFlow.js. */
import type { SiteMetricName } from '../../src/catalogue.ts';
import { sampledRowCount } from './rows.ts';

/** Which metrics of a tensor are wanted, as what has to be computed for them. */
export interface SummaryParts {
  /** Column means, and column means of squares after each row's mean is taken away. */
  readonly propagation: boolean;
  /** Column means of fourth powers. */
  readonly fourth: boolean;
  /** Rows for the Gram matrix; 0 for none. */
  readonly gramRows: number;
  /** Rows brought along as they are, for what needs whole rows; 0 for none. */
  readonly sampleRows: number;
}

/** Smaller float32 are zero to TensorFlow's own kernels and not to others: all take them for zero. */
export const smallestNormal: number = 2 ** -126;

/** All that gradients are measured by. */
export const gradientParts: SummaryParts = { propagation: false, fourth: false, gramRows: 0, sampleRows: 0 };

const rowMetrics: readonly SiteMetricName[] = ['max_median_ratio', 'int8_sqnr'];
const gramMetrics: readonly SiteMetricName[] = ['input_correlation_rms', 'feature_correlation_rms', 'effective_rank'];
const propagationMetrics: readonly SiteMetricName[] = ['input_correlation', 'kurtosis_centred'];

/** What has to be computed of activations for a list of metrics. */
export function activationParts(metrics: readonly SiteMetricName[]): SummaryParts {
  const wants = (some: readonly SiteMetricName[]) => metrics.some((metric) => some.includes(metric));
  return {
    propagation: wants(propagationMetrics),
    fourth: wants(['kurtosis_raw']),
    gramRows: wants(gramMetrics) ? sampledRowCount.gram : 0,
    sampleRows: wants(rowMetrics) ? sampledRowCount.sample : 0,
  };
}

/** The parts of a tensor of known shape. */
export interface SummaryLayout extends SummaryParts {
  /** n: product of all axes but the last. */
  readonly rows: number;
  /** d: length of the last axis. */
  readonly width: number;
}

/** The layout for a tensor [..., d]; no more rows are sampled than there are. */
export function layoutOf(shape: readonly number[], parts: SummaryParts): SummaryLayout {
  const width = shape[shape.length - 1] as number;
  const rows = shape.slice(0, -1).reduce((product, length) => product * length, 1);
  const most = (count: number) => Math.min(count, rows);
  return { ...parts, rows, width, gramRows: most(parts.gramRows), sampleRows: most(parts.sampleRows) };
}

export type PieceName = 'largestSquare' | 'squares' | 'means' | 'centredSquares' | 'fourthPowers' | 'gram' | 'sample';

/** The pieces of a summary and their lengths, in order. */
export function pieceLengths(layout: SummaryLayout): [PieceName, number][] {
  const { width, sampleRows } = layout;
  const pieces: [PieceName, number][] = [
    ['largestSquare', 1],
    ['squares', width],
    ['means', layout.propagation ? width : 0],
    ['centredSquares', layout.propagation ? width : 0],
    ['fourthPowers', layout.fourth ? width : 0],
    ['gram', gramLength(layout)],
    ['sample', sampleRows * width],
  ];
  return pieces.filter(([, length]) => length > 0);
}

/** Of the Gram matrices of [r, d]: how many vectors the shorter and the longer side have, and how many are set apart. */
export function gramPieceLengths(r: number, d: number): { shorter: number; longer: number; apart: number } {
  const longer = Math.max(r, d);
  return { shorter: Math.min(r, d), longer, apart: Math.min(longer, mostSetApart) };
}

/** More massive neurons than any model is known to have. */
const mostSetApart = 16;

function gramLength({ gramRows, width }: SummaryLayout): number {
  if (gramRows === 0) return 0;
  const { shorter, longer, apart } = gramPieceLengths(gramRows, width);
  return 2 * shorter + longer + 2 * apart;
}

export function summaryLength(layout: SummaryLayout): number {
  return pieceLengths(layout).reduce((total, [, length]) => total + length, 0);
}

/** A summary on the host; pieces that were not computed are empty. */
export interface Summary extends SummaryLayout, Readonly<Record<PieceName, Numbers>> {
  /** What the tensor was multiplied by before it was reduced. */
  readonly scale: number;
}

/** In float32 as a device gives them, in float64 as the host does. */
export type Numbers = Float32Array | Float64Array;

const none = new Float32Array(0);

/** Reads a summary out of downloaded values, starting at `offset`; its pieces are views of them. */
export function readSummary(values: Float32Array, offset: number, layout: SummaryLayout, scale = 1): Summary {
  const pieces: Record<PieceName, Float32Array> = {
    largestSquare: none,
    squares: none,
    means: none,
    centredSquares: none,
    fourthPowers: none,
    gram: none,
    sample: none,
  };
  let start = offset;
  for (const [name, length] of pieceLengths(layout)) {
    pieces[name] = values.subarray(start, start + length);
    start += length;
  }
  return { ...layout, ...pieces, scale };
}

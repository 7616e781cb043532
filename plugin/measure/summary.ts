/**
 * What is computed on the device: a site's activations are reduced to a few vectors, from which every metric follows on
 * the host in float64 (metrics.ts). O(n d) work, no Gram matrix, no sort, and nothing that waits for the device.
 *
 * Matrix products with a row of ones take the place of column sums: they make no temporary and are the fastest column
 * reduction on every backend; and (x - mean)^2 is one kernel. Everything stays rank 2, [1, k], so that one concat joins it.
 */
import * as tf from '@tensorflow/tfjs-core';
import { sampledRows } from './rows.ts';

/** What a summary holds besides the column means of squares. */
export interface SummaryParts {
  /** Column means, and column means of squares after each row's mean is taken away. */
  readonly propagation: boolean;
  /** How many rows to bring along as they are, for what needs whole rows. 0 for none. */
  readonly sampledRows: number;
}

export const gradientParts: SummaryParts = { propagation: false, sampledRows: 0 };

/** Lengths of a summary's pieces, in the order in which they lie in the vector. */
export interface SummaryLayout extends SummaryParts {
  /** n: product of all axes but the last. */
  readonly rows: number;
  /** d: length of the last axis. */
  readonly width: number;
  /** min(sampledRows, n). */
  readonly sampledRows: number;
}

export function layoutOf(shape: readonly number[], parts: SummaryParts): SummaryLayout {
  const width = shape[shape.length - 1] as number;
  const rows = shape.slice(0, -1).reduce((product, length) => product * length, 1);
  return { rows, width, propagation: parts.propagation, sampledRows: Math.min(parts.sampledRows, rows) };
}

/** Length of a summary's vector: largest square, d squares, [d means, d centred squares], sampled rows. */
export function summaryLength(layout: SummaryLayout): number {
  return 1 + layout.width * (1 + (layout.propagation ? 2 : 0) + layout.sampledRows);
}

/**
 * Reduces activations X [..., d] to a vector [1, summaryLength]. Call it within `tf.customGrad` so that nothing is taped.
 * `scale` multiplies X first: 1 but for activations whose squares leave the range of float32.
 */
export function summarise(x: tf.Tensor, layout: SummaryLayout, scale = 1): tf.Tensor2D {
  return tf.tidy(() => {
    const { rows: n, width: d } = layout;
    const flat = tf.reshape(x.dtype === 'float32' ? x : tf.cast(x, 'float32'), [n, d]);
    const matrix = scale === 1 ? flat : tf.mul(flat, scale); // [n, d]
    const meanOverRows = tf.fill([1, n], 1 / n) as tf.Tensor2D;
    const squares = tf.square(matrix);
    const pieces: tf.Tensor2D[] = [tf.max(squares, [0, 1], true) as tf.Tensor2D, tf.matMul(meanOverRows, squares)];
    if (layout.propagation) {
      const rowMeans = tf.matMul(matrix, tf.fill([d, 1], 1 / d) as tf.Tensor2D); // [n, 1]
      pieces.push(tf.matMul(meanOverRows, matrix), tf.matMul(meanOverRows, tf.squaredDifference(matrix, rowMeans)));
    }
    if (layout.sampledRows > 0) {
      const sample = layout.sampledRows === n ? matrix : tf.gather(matrix, sampledRows(n, layout.sampledRows));
      pieces.push(tf.reshape(sample, [1, layout.sampledRows * d]));
    }
    return tf.concat(pieces, 1);
  });
}

/** Number of NaN and infinite values of a tensor, as [1, 1]. */
export function countNonfinite(x: tf.Tensor): tf.Tensor2D {
  return tf.tidy(() => tf.reshape(tf.sum(tf.cast(tf.logicalNot(tf.isFinite(x)), 'int32')), [1, 1]));
}

/** A summary as it lies on the host. The arrays are views. */
export interface Summary extends SummaryLayout {
  readonly scale: number;
  readonly largestSquare: number;
  readonly squares: Float32Array;
  readonly means: Float32Array;
  readonly centredSquares: Float32Array;
  /** sampledRows x width. */
  readonly sample: Float32Array;
}

const nothing = new Float32Array(0);

/** Reads a summary out of downloaded values, starting at `offset`. */
export function readSummary(values: Float32Array, offset: number, layout: SummaryLayout, scale = 1): Summary {
  const { width, propagation } = layout;
  const piece = (index: number) => values.subarray(offset + 1 + index * width, offset + 1 + (index + 1) * width);
  const rowsAt = offset + 1 + width * (propagation ? 3 : 1);
  return {
    ...layout,
    scale,
    largestSquare: values[offset] as number,
    squares: piece(0),
    means: propagation ? piece(1) : nothing,
    centredSquares: propagation ? piece(2) : nothing,
    sample: values.subarray(rowsAt, rowsAt + layout.sampledRows * width),
  };
}

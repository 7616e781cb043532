/**
 * Reduction on the host, for backends whose tensors lie there: each is read as it passes, and reduced at once. Only Gram matrices
 * are left to the backend, of a few rows. No tensor of the step is kept.
 */
import * as tf from '@tensorflow/tfjs-core';
import { gramPieces } from './gram.ts';
import { withValues } from './host-values.ts';
import { readSummary, type Summary, type SummaryLayout, smallestNormal, summaryLength } from './layout.ts';
import { type Moments, momentsOf } from './moments.ts';
import type { Reduction, Take } from './reduction.ts';
import { sampledRows } from './rows.ts';

interface PendingGram {
  /** [1, k] */
  readonly gram: tf.Tensor2D;
  readonly summary: Summary;
  readonly take: Take;
}

export class HostReduction implements Reduction {
  private readonly pending: PendingGram[] = [];

  add(x: tf.Tensor, layout: SummaryLayout, take: Take): void {
    withValues(x, (values) => this.reduce(values, layout, take));
  }

  private reduce(values: Float32Array, layout: SummaryLayout, take: Take): void {
    const moments = momentsOf(values, layout.width, layout);
    if (moments === undefined) take(zeros(layout), countNonfinite(values));
    else if (moments.absmax < smallestNormal) take(zeros(layout), 0);
    else if (layout.gramRows === 0) take(summaryOf(values, layout, moments), 0);
    else {
      const gram = gramOf(values, layout, moments.scale);
      this.pending.push({ gram, summary: summaryOf(values, layout, moments), take });
    }
  }

  gather(): tf.Tensor2D[] {
    return this.pending.map(({ gram }) => tf.clone(gram));
  }

  finish(values: Float32Array, offset: number): number {
    let start = offset;
    for (const { gram, summary, take } of this.pending) {
      take({ ...summary, gram: values.subarray(start, start + gram.size) }, 0);
      start += gram.size;
    }
    this.dispose();
    return start;
  }

  dispose(): void {
    for (const { gram } of this.pending.splice(0)) gram.dispose();
  }
}

/** The summary but for its Gram matrices. */
function summaryOf(values: Float32Array, layout: SummaryLayout, { absmax, ...moments }: Moments): Summary {
  return {
    ...layout,
    ...moments,
    largestSquare: Float64Array.of((absmax * moments.scale) ** 2),
    gram: new Float64Array(0),
    sample: rowsOf(values, layout, layout.sampleRows, moments.scale),
  };
}

/** [1, k]: the backend's part. */
function gramOf(values: Float32Array, layout: SummaryLayout, scale: number): tf.Tensor2D {
  const { gramRows, width } = layout;
  return tf.tidy(() =>
    tf.keep(tf.concat(gramPieces(tf.tensor2d(rowsOf(values, layout, gramRows, scale), [gramRows, width])), 1)),
  );
}

/** `count` rows, times `scale`. */
function rowsOf(values: Float32Array, { rows, width }: SummaryLayout, count: number, scale: number): Float32Array {
  const some = new Float32Array(count * width);
  for (const [index, row] of sampledRows(rows, count).entries()) {
    some.set(values.subarray(row * width, (row + 1) * width), index * width);
  }
  if (scale !== 1) for (let index = 0; index < some.length; index++) (some[index] as number) *= scale;
  return some;
}

function countNonfinite(values: Float32Array): number {
  let count = 0;
  for (let index = 0; index < values.length; index++) if (!Number.isFinite(values[index])) count += 1;
  return count;
}

/** What holds nothing: of a tensor that is zero, or that is not measured. */
function zeros(layout: SummaryLayout): Summary {
  return readSummary(new Float32Array(summaryLength(layout)), 0, layout);
}

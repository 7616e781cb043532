/**
 * Reduction on the device, for backends whose tensors lie there: what passes is held until the end of the step, and then tensors
 * of one shape are stacked and reduced together, so that a kernel is dispatched once for all of them and not once for each.
 */
import * as tf from '@tensorflow/tfjs-core';
import { readSummary, type Summary, type SummaryLayout, smallestNormal, summaryLength } from './layout.ts';
import { scaleFor } from './moments.ts';
import type { Reduction, Take } from './reduction.ts';
import { countNonfinite, summarise } from './summary.ts';

interface Held {
  /** Shares its data with what passed. */
  readonly tensor: tf.Tensor;
  readonly layout: SummaryLayout;
  readonly take: Take;
}

/** A stack of more would take more memory than it saves dispatch: large kernels hide that by themselves. */
const mostStackedBytes = 64 * 1024 * 1024;

export class DeviceReduction implements Reduction {
  private readonly held: Held[] = [];
  /** As they lie in what was gathered. */
  private batches: Held[][] = [];

  add(x: tf.Tensor, layout: SummaryLayout, take: Take): void {
    this.held.push({ tensor: tf.keep(tf.clone(x)), layout, take });
  }

  gather(): tf.Tensor2D[] {
    this.batches = batchesOf(this.held);
    return this.batches.map((batch) => {
      const [first] = batch as [Held, ...Held[]];
      const tensors = batch.map(({ tensor }) => tensor);
      return tf.tidy(() => tf.reshape(summarise(tensors, first.layout), [1, -1]));
    });
  }

  finish(values: Float32Array, offset: number): number {
    let start = offset;
    for (const { tensor, layout, take } of this.batches.flat()) {
      const summary = readSummary(values, start, layout);
      if (isInRange(summary)) take(summary, 0);
      else lookAgain(tensor, summary, take);
      start += summaryLength(layout);
    }
    this.dispose();
    return start;
  }

  dispose(): void {
    this.batches = [];
    for (const { tensor } of this.held.splice(0)) tensor.dispose();
  }
}

/** Those of one layout together, no more than may be stacked. */
function batchesOf(held: readonly Held[]): Held[][] {
  const byLayout = new Map<string, Held[][]>();
  for (const each of held) {
    const key = JSON.stringify(Object.entries(each.layout).toSorted());
    const batches = byLayout.get(key) ?? [];
    byLayout.set(key, batches);
    const last = batches.at(-1);
    const fits = last !== undefined && (last.length + 1) * each.tensor.size * 4 <= mostStackedBytes;
    if (fits) last.push(each);
    else batches.push([each]);
  }
  return [...byLayout.values()].flat();
}

/**
 * Far enough from float32's ends, 1.2e-38 and 3.4e38, that neither the largest square (or its square, where fourth powers
 * are taken) nor its millionth part is lost.
 */
function isInRange({ largestSquare, squares, fourthPowers, gram }: Summary): boolean {
  const [least, most] = fourthPowers.length > 0 || gram.length > 0 ? [1e-12, 1e12] : [1e-24, 1e32];
  const largest = largestSquare[0] as number;
  return largest > least && largest < most && squares.every(Number.isFinite);
}

/** Looks closer, by further downloads, at what is not finite or out of range. */
function lookAgain(x: tf.Tensor, first: Summary, take: Take): void {
  const [absmax, nonfinite] = tf.tidy(() => [tf.max(tf.abs(x)).dataSync()[0], countNonfinite(x).dataSync()[0]]) as [
    number,
    number,
  ];
  if (nonfinite > 0) {
    take(first, nonfinite); // nothing is measured then but how many they are
  } else if (absmax < smallestNormal) {
    take(readSummary(new Float32Array(summaryLength(first)), 0, first), 0);
  } else {
    const scale = scaleFor(absmax);
    const scaled = tf.tidy(() => summarise([x], first, scale).dataSync<'float32'>());
    take(readSummary(scaled, 0, first, scale), 0);
  }
}

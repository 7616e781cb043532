/**
 * The probe: an identity in the forward and backward pass that leaves a summary of what went through.
 *
 * `tf.customGrad` keeps what happens inside off the gradient tape, so the summaries cost no memory in the backward pass, and
 * its gradient function sees dy. Everything is read back by one download at the end of the step.
 */
import * as tf from '@tensorflow/tfjs-core';
import {
  countNonfinite,
  layoutOf,
  readSummary,
  type Summary,
  type SummaryLayout,
  type SummaryParts,
  summarise,
  summaryLength,
} from '../measure/summary.ts';

/** What was seen at one site in one step: a summary for each forward pass. */
export interface Observed {
  readonly activations: Summary[];
  /** NaN and infinite activations. */
  nonfinite: number;
}

interface Passing {
  readonly site: string;
  readonly layout: SummaryLayout;
  readonly vector: tf.Tensor2D;
  /** Shares its data with the activations, so it costs nothing; kept for the rare case that they must be looked at again. */
  readonly activations: tf.Tensor;
}

/** Is a gradient being recorded? Only then is a forward pass part of training; `kwargs.training` is true in fit alone. */
export function isTrainingPass(): boolean {
  return tf.engine().state.gradientDepth > 0;
}

/** Collects the summaries of one step. */
export class StepProbe {
  private readonly passing: Passing[] = [];
  private readonly parts: SummaryParts;
  private readonly onFault: (error: unknown) => void;
  /** Seconds spent here so far. */
  seconds = 0;

  /** `onFault` hears of what went wrong in here; training never does. */
  constructor(parts: SummaryParts, onFault: (error: unknown) => void) {
    this.parts = parts;
    this.onFault = onFault;
  }

  /** Identity on [..., d]; to be used in the forward pass of a training step. */
  observe<T extends tf.Tensor>(site: string, x: T): T {
    return tf.customGrad((...inputs) => {
      this.record(site, inputs[0] as tf.Tensor);
      return { value: tf.clone(inputs[0] as tf.Tensor), gradFunc: (dy: tf.Tensor) => tf.clone(dy) };
    })(x) as T;
  }

  private record(site: string, x: tf.Tensor): void {
    const begin = performance.now();
    try {
      const layout = layoutOf(x.shape, this.parts);
      this.passing.push({ site, layout, vector: tf.keep(summarise(x, layout)), activations: tf.keep(tf.clone(x)) });
    } catch (error) {
      this.onFault(error);
    }
    this.seconds += (performance.now() - begin) / 1000;
  }

  /** One tensor [1, k] with everything to download: the summaries, then `extra` scalars. The caller disposes it. */
  gather(extra: readonly tf.Tensor[]): tf.Tensor2D {
    return tf.tidy(() => {
      const scalars = extra.map((scalar) => tf.reshape(tf.cast(scalar, 'float32'), [1, 1]) as tf.Tensor2D);
      const pieces = [...this.passing.map(({ vector }) => vector), ...scalars];
      return pieces.length === 0 ? tf.zeros<tf.Rank.R2>([1, 0]) : tf.concat(pieces, 1);
    });
  }

  /** Splits downloaded values by site, and gives all tensors back. */
  finish(values: Float32Array): { sites: Map<string, Observed>; extra: Float32Array } {
    const sites = new Map<string, Observed>();
    let offset = 0;
    for (const { site, layout, activations } of this.passing) {
      const observed = sites.get(site) ?? { activations: [], nonfinite: 0 };
      sites.set(site, observed);
      const summary = readSummary(values, offset, layout);
      offset += summaryLength(layout);
      if (inRange(summary)) observed.activations.push(summary);
      else this.lookAgain(observed, layout, activations);
    }
    this.dispose();
    return { sites, extra: values.subarray(offset) };
  }

  /** Squares overflowed, underflowed or are not finite: scale first, and count what is not finite. A second download, rarely. */
  private lookAgain(observed: Observed, layout: SummaryLayout, x: tf.Tensor): void {
    const [absmax, nonfinite] = tf.tidy(() => [tf.max(tf.abs(x)).dataSync()[0], countNonfinite(x).dataSync()[0]]) as [
      number,
      number,
    ];
    const scale = nonfinite === 0 && absmax > 0 ? 1 / absmax : 1;
    // 1 / absmax leaves float32 below 3e-39, where activations are subnormal and as good as zero.
    const safe = Math.min(scale, 1e38);
    const again = tf.tidy(() => summarise(x, layout, safe).dataSync() as Float32Array);
    observed.activations.push(readSummary(again, 0, layout, safe));
    observed.nonfinite += nonfinite;
  }

  /** Gives all tensors back. */
  dispose(): void {
    for (const { vector, activations } of this.passing) tf.dispose([vector, activations]);
    this.passing.length = 0;
  }
}

/** Far enough from float32's ends, 1.2e-38 and 3.4e38, that neither the largest square nor its millionth is lost. */
function inRange({ largestSquare, squares }: Summary): boolean {
  if (!(largestSquare > 1e-24 && largestSquare < 1e32)) return false;
  for (const square of squares) if (!Number.isFinite(square)) return false;
  return true;
}

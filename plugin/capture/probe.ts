/**
 * The probe of one sampled step: an identity in the forward and backward pass that leaves a summary of what went through.
 *
 * `tf.customGrad` keeps what happens inside off the gradient tape, so the summaries cost no memory in the backward pass, and
 * its gradient function sees dy. Everything is read back by one download at the end of the step.
 */
import * as tf from '@tensorflow/tfjs-core';
import { type AttentionTensors, summariseAttention } from '../measure/attention.ts';
import {
  gradientParts,
  layoutOf,
  readSummary,
  type Summary,
  type SummaryLayout,
  type SummaryParts,
  summaryLength,
} from '../measure/layout.ts';
import { countNonfinite, summarise } from '../measure/summary.ts';

/** What was seen at one site in one step. */
export interface Observed {
  readonly activations: SeenTensor;
  readonly gradients: SeenTensor;
  readonly attention: Float32Array[];
}

/** A summary for each pass. */
export interface SeenTensor {
  readonly summaries: Summary[];
  /** NaN and infinite values. */
  nonfinite: number;
}

/** What is measured of a site's tensors. */
export interface ProbeParts {
  readonly activations: SummaryParts;
  readonly gradients: 'measured' | 'left out';
}

interface Pending {
  readonly site: string;
  readonly vector: tf.Tensor2D;
  /** Takes the vector's values when they are on the host. */
  readonly read: (observed: Observed, values: Float32Array, offset: number) => void;
  readonly length: number;
  /** Shares its data with what was measured; kept for the rare case that it must be looked at again. */
  readonly kept: tf.Tensor | undefined;
}

/** Is a gradient being recorded? Only then is a forward pass part of training; `kwargs.training` is true in fit alone. */
export function isTrainingPass(): boolean {
  return tf.engine().state.gradientDepth > 0;
}

/** Collects the summaries of one step. */
export class StepProbe {
  private readonly pending: Pending[] = [];
  private readonly parts: ProbeParts;
  private readonly onFault: (site: string, error: unknown) => void;
  /** Seconds spent here so far. */
  seconds = 0;

  /** `onFault` hears of what went wrong in here; training never does. */
  constructor(parts: ProbeParts, onFault: (site: string, error: unknown) => void) {
    this.parts = parts;
    this.onFault = onFault;
  }

  /** Identity on [..., d]; to be used in the forward pass of a training step. */
  observe<T extends tf.Tensor>(site: string, x: T): T {
    const identity = tf.customGrad((...inputs) => {
      this.measure(site, 'activations', inputs[0] as tf.Tensor, this.parts.activations);
      const value = tf.clone(inputs[0] as tf.Tensor);
      return { value, gradFunc: (dy: tf.Tensor) => this.passBack(site, dy, value.id) };
    });
    return identity(x) as T;
  }

  /** Measures without being part of the computation: for passes that no gradient is taken of. */
  observeOnly(site: string, x: tf.Tensor): void {
    this.measure(site, 'activations', x, this.parts.activations);
  }

  /** Measures attention; `tensors` is called off the tape, and nothing of this takes part in the computation. */
  observeAttention(site: string, tensors: () => AttentionTensors): void {
    const offTape = tf.customGrad(() => {
      this.guarded(site, () => {
        const vector = tf.tidy(() => summariseAttention(tensors()));
        this.add(site, vector, 2, (observed, values, offset) =>
          observed.attention.push(values.slice(offset, offset + 2)),
        );
      });
      return { value: tf.scalar(0), gradFunc: () => [] };
    });
    offTape().dispose();
  }

  /**
   * The gradient goes on as it came: a clone of it would live as long as the backward pass. But for a gradient that was there
   * before the forward pass: it is the caller's own (`tf.grads(f)(xs, dy)`), and must not come out as a result to be disposed of.
   */
  private passBack(site: string, dy: tf.Tensor, forwardId: number): tf.Tensor {
    if (this.parts.gradients === 'measured') this.measure(site, 'gradients', dy, gradientParts);
    return dy.id > forwardId ? dy : tf.clone(dy);
  }

  private measure(site: string, role: 'activations' | 'gradients', x: tf.Tensor, parts: SummaryParts): void {
    this.guarded(site, () => {
      const layout = layoutOf(x.shape, parts);
      const vector = summarise(x, layout);
      const kept = tf.keep(tf.clone(x)); // After what may throw: nothing would give it back.
      const read = (observed: Observed, values: Float32Array, offset: number): void => {
        const summary = readSummary(values, offset, layout);
        if (inRange(summary)) observed[role].summaries.push(summary);
        else lookAgain(observed[role], summary, layout, kept);
      };
      this.add(site, vector, summaryLength(layout), read, kept);
    });
  }

  private add(site: string, vector: tf.Tensor2D, length: number, read: Pending['read'], kept?: tf.Tensor): void {
    this.pending.push({ site, vector: tf.keep(vector), length, read, kept });
  }

  private guarded(site: string, work: () => void): void {
    const begin = performance.now();
    try {
      work();
    } catch (error) {
      this.onFault(site, error);
    }
    this.seconds += (performance.now() - begin) / 1000;
  }

  /** One tensor [1, k] with everything to download: the summaries, then `extra` scalars. The caller disposes it. */
  gather(extra: readonly tf.Tensor[]): tf.Tensor2D {
    return tf.tidy(() => {
      const scalars = extra.map((scalar) => tf.reshape(tf.cast(scalar, 'float32'), [1, 1]) as tf.Tensor2D);
      const pieces = [...this.pending.map(({ vector }) => vector), ...scalars];
      return pieces.length === 0 ? tf.zeros<tf.Rank.R2>([1, 0]) : tf.concat(pieces, 1);
    });
  }

  /** Splits downloaded values by site, and gives all tensors back. */
  finish(values: Float32Array): { sites: Map<string, Observed>; extra: Float32Array } {
    const sites = new Map<string, Observed>();
    let offset = 0;
    for (const { site, read, length } of this.pending) {
      const observed = sites.get(site) ?? { activations: nothingSeen(), gradients: nothingSeen(), attention: [] };
      sites.set(site, observed);
      read(observed, values, offset);
      offset += length;
    }
    this.dispose();
    return { sites, extra: values.subarray(offset) };
  }

  /** Gives all tensors back. */
  dispose(): void {
    for (const { vector, kept } of this.pending) tf.dispose(kept === undefined ? vector : [vector, kept]);
    this.pending.length = 0;
  }
}

function nothingSeen(): SeenTensor {
  return { summaries: [], nonfinite: 0 };
}

/**
 * Far enough from float32's ends, 1.2e-38 and 3.4e38, that neither the largest square (or its square, where fourth powers
 * are taken) nor its millionth part is lost.
 */
function inRange({ largestSquare, squares, fourthPowers, gram }: Summary): boolean {
  const [least, most] = fourthPowers.length > 0 || gram.length > 0 ? [1e-12, 1e12] : [1e-24, 1e32];
  const largest = largestSquare[0] as number;
  return largest > least && largest < most && squares.every(Number.isFinite);
}

/** Looks closer, by a second download, at what is not finite or out of range. */
function lookAgain(seen: SeenTensor, first: Summary, layout: SummaryLayout, x: tf.Tensor): void {
  const [absmax, nonfinite] = tf.tidy(() => [tf.max(tf.abs(x)).dataSync()[0], countNonfinite(x).dataSync()[0]]) as [
    number,
    number,
  ];
  seen.nonfinite += nonfinite;
  if (nonfinite > 0) {
    seen.summaries.push(first); // Nothing is measured then but how many they are.
  } else if (absmax < smallestNormal) {
    seen.summaries.push(readSummary(new Float32Array(summaryLength(layout)), 0, layout));
  } else {
    const scale = scaleFor(absmax);
    const vector = summarise(x, layout, scale);
    seen.summaries.push(readSummary(vector.dataSync<'float32'>(), 0, layout, scale));
    vector.dispose();
  }
}

/** Smaller float32 are zero to TensorFlow's own kernels and not to others: all take them for zero. */
const smallestNormal = 2 ** -126;

/** Brings the largest magnitude near 1. A power of two changes no digit; float32 has those to 2^-126 and 2^127. */
function scaleFor(absmax: number): number {
  return 2 ** Math.max(-126, Math.min(126, -Math.round(Math.log2(absmax))));
}

/**
 * The probe of one sampled step: an identity in the forward and backward pass that leaves a summary of what went through.
 *
 * `tf.customGrad` keeps what happens inside off the gradient tape, so the summaries cost no memory in the backward pass, and
 * its gradient function sees dy. What is reduced on a device is read back by one download at the end of the step.
 */
import * as tf from '@tensorflow/tfjs-core';
import { type AttentionTensors, summariseAttention } from '../measure/attention.ts';
import { gradientParts, layoutOf, type Summary, type SummaryParts } from '../measure/layout.ts';
import { createReduction, type Reduction } from '../measure/reduction.ts';

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

/** Is a gradient being recorded? Only then is a forward pass part of training; `kwargs.training` is true in fit alone. */
export function isTrainingPass(): boolean {
  return tf.engine().state.gradientDepth > 0;
}

/** Collects the summaries of one step. */
export class StepProbe {
  private readonly parts: ProbeParts;
  private readonly onFault: (site: string, error: unknown) => void;
  private readonly reduction: Reduction;
  private readonly attention: { readonly site: string; readonly statistics: tf.Tensor2D }[] = [];
  private readonly sites = new Map<string, Observed>();
  /** Seconds spent here so far. */
  seconds = 0;

  /** `onFault` hears of what went wrong in here; training never does. */
  constructor(parts: ProbeParts, onFault: (site: string, error: unknown) => void, reduction = createReduction()) {
    this.parts = parts;
    this.onFault = onFault;
    this.reduction = reduction;
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
        const statistics = tf.keep(tf.tidy(() => summariseAttention(tensors())));
        this.attention.push({ site, statistics });
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
      this.reduction.add(x, layoutOf(x.shape, parts), (summary, nonfinite) => {
        const seen = this.observed(site)[role];
        seen.summaries.push(summary);
        seen.nonfinite += nonfinite;
      });
      this.observed(site); // in the order of the passes, whenever the summary comes
    });
  }

  private observed(site: string): Observed {
    const known = this.sites.get(site);
    if (known !== undefined) return known;
    const observed: Observed = { activations: nothingSeen(), gradients: nothingSeen(), attention: [] };
    this.sites.set(site, observed);
    return observed;
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

  /** One tensor [1, k] with everything to download: summaries, attention, then `extra` scalars. The caller disposes it. */
  gather(extra: readonly tf.Tensor[]): tf.Tensor2D {
    return tf.tidy(() => {
      const scalars = extra.map((scalar) => tf.reshape(tf.cast(scalar, 'float32'), [1, 1]) as tf.Tensor2D);
      const attention = this.attention.map(({ statistics }) => statistics);
      const pieces = [...this.reduction.gather(), ...attention, ...scalars];
      if (pieces.length === 0) return tf.zeros<tf.Rank.R2>([1, 0]);
      return tf.concat(pieces, 1);
    });
  }

  /** Splits downloaded values by site, and gives all tensors back. */
  finish(values: Float32Array): { sites: ReadonlyMap<string, Observed>; extra: Float32Array } {
    let offset = this.reduction.finish(values, 0);
    for (const { site, statistics } of this.attention) {
      this.observed(site).attention.push(values.slice(offset, offset + statistics.size));
      offset += statistics.size;
    }
    this.dispose();
    return { sites: this.sites, extra: values.subarray(offset) };
  }

  /** Gives all tensors back. */
  dispose(): void {
    this.reduction.dispose();
    for (const { statistics } of this.attention.splice(0)) statistics.dispose();
  }
}

function nothingSeen(): SeenTensor {
  return { summaries: [], nonfinite: 0 };
}

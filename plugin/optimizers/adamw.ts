/** AdamW: Adam with decoupled weight decay. Loshchilov and Hutter, arXiv 1711.05101, Algorithm 2. */
import * as tf from '@tensorflow/tfjs-core';
import { OutlierscopeError } from '../../src/errors.ts';
import { clipByGlobalNorm } from './clip.ts';

export interface AdamWOptions {
  /** A number, or a function of the step (from 0). */
  readonly learningRate: number | ((step: number) => number);
  /** Default 0.9. */
  readonly beta1?: number;
  /** Default 0.999. */
  readonly beta2?: number;
  /** Added to the root of the second moment; larger values make smaller outlier features (He et al.). Default 1e-8. */
  readonly epsilon?: number;
  /** Fraction of the weight taken away at each step, times the learning rate. Default 0.1. */
  readonly weightDecay?: number;
  /** Longest global gradient norm; longer gradients are scaled down. Default: no clipping. */
  readonly clipNorm?: number;
  /** Which variables decay. Default: those of rank 2 and more, so neither biases nor norm gains. */
  readonly decays?: (variable: tf.Variable) => boolean;
}

interface NamedTensor {
  readonly name: string;
  readonly tensor: tf.Tensor;
}

interface Moments {
  readonly first: tf.Variable;
  readonly second: tf.Variable;
}

/** Drops into `model.compile({ optimizer })` and `optimizer.minimize`. */
export class AdamW extends tf.Optimizer {
  static get className(): string {
    return 'OutlierscopeAdamW';
  }
  private readonly options: Required<Omit<AdamWOptions, 'clipNorm'>> & Pick<AdamWOptions, 'clipNorm'>;
  private readonly moments = new Map<string, Moments>();
  /** Steps taken. */
  private steps = 0;
  /** Norm of the last gradients before clipping; undefined without `clipNorm`. Owned by the optimiser. */
  private lastNorm: tf.Scalar | undefined;

  constructor(options: AdamWOptions) {
    super();
    const defaults = {
      beta1: 0.9,
      beta2: 0.999,
      epsilon: 1e-8,
      weightDecay: 0.1,
      decays: (v: tf.Variable) => v.rank >= 2,
    };
    this.options = { ...defaults, ...options };
    for (const name of ['beta1', 'beta2', 'epsilon', 'weightDecay', 'clipNorm'] as const) {
      const value = this.options[name];
      if (value !== undefined && !(value >= 0 && Number.isFinite(value))) {
        throw new OutlierscopeError(`${name} is ${value}`, {
          code: 'invalid-option',
          hint: 'give a finite number from 0 on',
        });
      }
    }
  }

  /** The learning rate of the step to come. */
  get learningRate(): number {
    const { learningRate } = this.options;
    return typeof learningRate === 'number' ? learningRate : learningRate(this.steps);
  }

  /** Global norm of the last step's gradients before clipping, as a scalar tensor that stays the optimiser's; needs `clipNorm`. */
  get gradientNorm(): tf.Scalar | undefined {
    return this.lastNorm;
  }

  override applyGradients(gradients: tf.NamedTensorMap | NamedTensor[]): void {
    const named = Array.isArray(gradients)
      ? gradients
      : Object.entries(gradients).map(([name, tensor]) => ({ name, tensor }));
    const present = named.filter(({ tensor }) => tensor != null);
    const learningRate = this.learningRate;
    tf.tidy(() => {
      const tensors = present.map(({ tensor }) => tensor);
      for (const [index, tensor] of this.clipped(tensors).entries()) {
        const variable = tf.engine().registeredVariables[(present[index] as NamedTensor).name] as tf.Variable;
        this.update(variable, tensor, learningRate);
      }
    });
    this.steps += 1;
    this.incrementIterations();
  }

  private clipped(gradients: tf.Tensor[]): tf.Tensor[] {
    if (this.options.clipNorm === undefined) return gradients;
    const { clipped, norm } = clipByGlobalNorm(gradients, this.options.clipNorm);
    this.lastNorm?.dispose();
    this.lastNorm = tf.keep(norm);
    return clipped;
  }

  private update(variable: tf.Variable, gradient: tf.Tensor, learningRate: number): void {
    const { beta1, beta2, epsilon, weightDecay, decays } = this.options;
    const { first, second } = this.momentsOf(variable);
    const step = this.steps + 1;
    first.assign(tf.add(tf.mul(first, beta1), tf.mul(gradient, 1 - beta1)));
    second.assign(tf.add(tf.mul(second, beta2), tf.mul(tf.square(gradient), 1 - beta2)));
    const root = tf.add(tf.mul(tf.sqrt(second), 1 / Math.sqrt(1 - beta2 ** step)), epsilon);
    const change = tf.mul(tf.div(first, root), learningRate / (1 - beta1 ** step));
    const kept = decays(variable) ? tf.mul(variable, 1 - learningRate * weightDecay) : variable;
    variable.assign(tf.sub(kept, change));
  }

  private momentsOf(variable: tf.Variable): Moments {
    const known = this.moments.get(variable.name);
    if (known !== undefined) return known;
    const zeros = () => tf.variable(tf.zeros(variable.shape), false);
    const moments = { first: zeros(), second: zeros() };
    this.moments.set(variable.name, moments);
    return moments;
  }

  override dispose(): void {
    for (const { first, second } of this.moments.values()) tf.dispose([first, second]);
    this.moments.clear();
    this.lastNorm?.dispose();
    this.lastNorm = undefined;
  }

  override getConfig(): tf.serialization.ConfigDict {
    const { beta1, beta2, epsilon, weightDecay, clipNorm } = this.options;
    return {
      learningRate: this.learningRate,
      beta1,
      beta2,
      epsilon,
      weightDecay,
      ...(clipNorm === undefined ? {} : { clipNorm }),
    };
  }
}

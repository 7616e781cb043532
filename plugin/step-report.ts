/** What a training loop tells of a step, sorted by where it lies. */
import * as tf from '@tensorflow/tfjs-core';
import { limits } from '../src/messages.ts';
import { describe } from './capture/tensors.ts';

/** What a loop tells of a step. Numbers or scalar tensors; tensors stay the caller's. */
export interface StepReport {
  readonly loss?: number | tf.Tensor;
  /** Where the attached model has no optimiser of its own to ask. */
  readonly learningRate?: number;
  /** Global norm of the gradients before clipping. */
  readonly gradientNorm?: number | tf.Tensor;
  /** Anything else worth a line: accuracy, tokens per second. Kept on sampled steps. */
  readonly scalars?: Readonly<Record<string, number | tf.Tensor>>;
}

/** A step's scalars under the names of the frame. */
export interface StepScalars {
  readonly numbers: Record<string, number>;
  /** To be downloaded. */
  readonly tensors: [string, tf.Tensor][];
}

/** A report's scalars under the names of the frame. */
export function named({ loss, learningRate, gradientNorm, scalars }: StepReport): Record<string, unknown> {
  return { ...scalars, loss, learning_rate: learningRate, gradient_norm: gradientNorm };
}

/** Sorts what was given; what cannot be taken is left out, and `leaveOut` hears why. */
export function sortScalars(
  given: Readonly<Record<string, unknown>>,
  leaveOut: (name: string, why: string) => void,
): StepScalars {
  const sorted: StepScalars = { numbers: {}, tensors: [] };
  for (const [name, value] of Object.entries(given)) {
    if (value === undefined || value === null) continue;
    const why = whyNotTaken(name, value);
    if (why !== undefined) leaveOut(name, why);
    else if (typeof value === 'number') sorted.numbers[name] = value;
    else sorted.tensors.push([name, value as tf.Tensor]);
  }
  return sorted;
}

/** The scalars that can be looked at without waiting for a device. */
export function scalarsOnHost(given: Readonly<Record<string, unknown>>): Record<string, number> {
  const values: Record<string, number> = {};
  for (const [name, value] of Object.entries(given)) {
    if (typeof value === 'number') values[name] = value;
    else if (value instanceof tf.Tensor && whyNotTaken(name, value) === undefined && computesOnHost()) {
      values[name] = value.dataSync()[0] as number;
    }
  }
  return values;
}

/** Notices when scalars stop being finite. */
export class NonfiniteWatch {
  private before: ReadonlySet<string> = new Set();

  /** Is one NaN or infinite that was not when last seen? */
  see(scalars: Readonly<Record<string, number>>): boolean {
    const { before } = this;
    const names = Object.entries(scalars).filter(([, value]) => !Number.isFinite(value));
    this.before = new Set(names.map(([name]) => name));
    return names.some(([name]) => !before.has(name));
  }
}

/** Do the backend's tensors lie in the host's memory? Reading a scalar then takes less than a microsecond. */
function computesOnHost(): boolean {
  const name = tf.getBackend();
  if (name === 'cpu' || name === 'wasm') return true;
  return name === 'tensorflow' && (tf.backend() as { isUsingGpuDevice?: unknown }).isUsingGpuDevice === false;
}

function whyNotTaken(name: string, value: unknown): string | undefined {
  if (name.length === 0 || name.length > limits.nameLength) return `names have 1 to ${limits.nameLength} characters`;
  if (typeof value === 'number') return undefined;
  if (!(value instanceof tf.Tensor)) return `it is no number and no tensor but ${describe(value)}`;
  if (value.isDisposed) return 'the tensor is disposed';
  return value.size === 1 ? undefined : `the tensor has ${value.size} values, and should have one`;
}

/**
 * The monitor: three ways in, one engine. A callback for fit and fitDataset; `attach` and `step` for loops of one's own;
 * `tap` for models without layers.
 */
import * as tf from '@tensorflow/tfjs-core';
import { Callback, type LayersModel } from '@tensorflow/tfjs-layers';
import { OutlierscopeError } from '../src/errors.ts';
import type { DeliveryReport } from './delivery/delivery.ts';
import { Engine, type StepReport } from './engine.ts';
import type { AttentionTensors } from './measure/attention.ts';
import { type MonitorOptions, resolveOptions } from './options.ts';
import type { StepMeasurement } from './recorder.ts';

/** How `close` waits. */
export interface CloseOptions {
  /** Default 'finished'. */
  readonly outcome?: 'finished' | 'failed';
  /** Longest wait for the server to confirm the last frames, in milliseconds. Default 10,000. */
  readonly deadlineMilliseconds?: number;
}

type Logs = Readonly<Record<string, number | tf.Tensor>>;

/** Made by `outlierMonitor`. Passes as a TensorFlow.js callback. */
export class OutlierMonitor extends Callback {
  private readonly engine: Engine;
  /** The readback of a sampled step on its way; at most one. */
  private reading: Promise<void> = Promise.resolve();

  /** @throws OutlierscopeError for an option that is not right. */
  constructor(options: MonitorOptions) {
    super();
    const environment = (globalThis as { process?: { env?: Record<string, string | undefined> } }).process?.env ?? {};
    this.engine = new Engine(resolveOptions(options, environment));
    // CustomCallback takes the methods off the object, so they carry their `this`.
    this.onTrainBegin = this.onTrainBegin.bind(this);
    this.onTrainEnd = this.onTrainEnd.bind(this);
    this.onBatchBegin = this.onBatchBegin.bind(this);
    this.onBatchEnd = this.onBatchEnd.bind(this);
    this.onEpochEnd = this.onEpochEnd.bind(this);
  }

  /** The id of this run on the server: a new one for every monitor. */
  get runId(): string {
    return this.engine.recorder.runId;
  }

  /** What the last sampled step gave; undefined before the first. */
  get latest(): StepMeasurement | undefined {
    return this.engine.recorder.latest;
  }

  /** How often the monitor failed at something of its own. Each kind is told once through the option `warn`. */
  get faults(): number {
    return this.engine.faults;
  }

  /**
   * Watches a model in a loop of one's own; further models add to the first.
   * @throws OutlierscopeError when it is no tfjs model (`not-a-model`), or has no layer to watch (`no-site`).
   */
  attach(model: LayersModel | object): this {
    this.engine.attach(model);
    this.engine.beginStep();
    return this;
  }

  /**
   * Identity: measures a tensor [..., width] under a name, where a model has no layers. Costs nothing on steps that are not
   * sampled. Give each place a name of its own: a second use of a name within a forward pass is left out, and told.
   * @throws OutlierscopeError for a symbolic tensor, which is there only while a model is built.
   */
  tap<T extends tf.Tensor>(name: string, x: T): T {
    return this.engine.tap(name, x);
  }

  /** Measures attention weights and logits, [..., queries, keys], under a name. Changes nothing and needs no gradient. */
  tapAttention(name: string, tensors: AttentionTensors): void {
    this.engine.tapAttention(name, tensors);
  }

  /** Numbers of your own for the next frame, such as a validation loss. */
  log(scalars: Readonly<Record<string, number>>): void {
    this.engine.log(scalars);
  }

  /** Ends a step of a loop of one's own; call it once for every update of the weights. */
  async step(report: StepReport = {}): Promise<void> {
    await this.endStep(report);
    this.engine.beginStep();
  }

  /** The same without yielding to the event loop. */
  stepSync(report: StepReport = {}): void {
    const pending = this.engine.endStep(report);
    if (pending !== undefined) {
      try {
        pending.finish(pending.download.dataSync<'float32'>());
      } catch (error) {
        this.engine.fault('reading a step back', error);
      } finally {
        pending.release();
      }
    }
    this.engine.beginStep();
  }

  /** Sends what is left and says goodbye. Resolves with what was delivered, at the latest when the deadline is over. */
  async close({ outcome = 'finished', deadlineMilliseconds = 10_000 }: CloseOptions = {}): Promise<DeliveryReport> {
    await this.reading;
    return this.engine.close(outcome, deadlineMilliseconds);
  }

  // The callback's side; tfjs calls these in this order.

  override setModel(model: LayersModel): void {
    this.model = model;
    this.engine.attach(model);
  }

  override async onTrainBegin(): Promise<void> {
    if (this.engine.watchesLayers) return;
    throw new OutlierscopeError('TensorFlow.js did not hand the model to the monitor', {
      code: 'no-model',
      hint: 'call monitor.attach(model) before fit, or make the monitor the first in the callbacks array',
    });
  }

  override async onBatchBegin(): Promise<void> {
    this.engine.beginStep();
  }

  override async onBatchEnd(_batch: number, logs: Logs = {}): Promise<void> {
    const { batch: _, size: __, loss, ...scalars } = logs;
    await this.endStep({ ...(loss !== undefined && { loss }), scalars });
  }

  override async onEpochEnd(_epoch: number, logs: Logs = {}): Promise<void> {
    // The others are averages of what the batches told already.
    const validation = Object.entries(logs).filter(([name]) => name.startsWith('val_'));
    for (const [name, value] of validation) {
      this.engine.log({ [name]: typeof value === 'number' ? value : ((await value.data())[0] as number) });
    }
  }

  override async onTrainEnd(): Promise<void> {
    await this.reading;
    this.engine.stopMeasuring();
  }

  private async endStep(report: StepReport): Promise<void> {
    const pending = this.engine.endStep(report);
    if (pending === undefined) return;
    await this.reading;
    this.reading = pending.download
      .data<'float32'>()
      .then((values) => pending.finish(values))
      .catch((error: unknown) => this.engine.fault('reading a step back', error))
      .finally(() => pending.release());
    // WebGL and WebGPU work on while the values come; the others have them now, and nothing is gained by waiting.
    if (!tf.getBackend().startsWith('webg')) await this.reading;
  }
}

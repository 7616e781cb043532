/**
 * The monitor: three ways in, one engine. A callback for fit and fitDataset; `attach` and `step` for loops of one's own;
 * `tap` for models without layers.
 */
import * as tf from '@tensorflow/tfjs-core';
import { Callback, type LayersModel } from '@tensorflow/tfjs-layers';
import { OutlierscopeError } from '../src/errors.ts';
import { openFitToMonitors } from './capture/fit.ts';
import type { DeliveryReport } from './delivery/delivery.ts';
import { Engine, type PendingStep, type StepReport } from './engine.ts';
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
  /** Readbacks of sampled steps on their way, one after the other. */
  private reading: Promise<void> = Promise.resolve();
  private readingCount = 0;
  /** Did the user attach a model? Then it is watched, and no other is added on the way. */
  private isAttached = false;
  private batchHasBegun = false;

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
    openFitToMonitors((callback) => callback instanceof OutlierMonitor);
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
    return this.engine.faults.count;
  }

  /**
   * Watches a model in a loop of one's own: a LayersModel, a layer, or an object that holds layers in its fields. Further models
   * add to the first. Attaching before `fit` says which model is watched, whatever the fit hands over.
   * @throws OutlierscopeError when it is no tfjs model (`not-a-model`), or has no layer to watch (`no-site`).
   */
  attach(model: LayersModel | object): this {
    this.engine.attach(model);
    this.isAttached = true;
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

  /** Ends a step of a loop of one's own; call it once for every update of the weights, outside of `tf.tidy`. */
  async step(report: StepReport = {}): Promise<void> {
    const ended = this.endStep(report);
    this.engine.beginStep(); // before anything is waited for: a loop that does not await goes on with the next step
    await ended;
  }

  /** The same without yielding to the event loop. */
  stepSync(report: StepReport = {}): void {
    const pending = this.engine.endStep(report);
    if (pending !== undefined) this.readSync(pending);
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
    if (!this.isAttached) this.engine.attach(model);
  }

  override async onTrainBegin(): Promise<void> {
    if (!this.engine.lacksModel) return;
    throw new OutlierscopeError('TensorFlow.js did not hand the model to the monitor', {
      code: 'no-model',
      hint:
        'call monitor.attach(model) before fit: the model comes from another copy of @tensorflow/tfjs-layers than the ' +
        "monitor's, or from a trainer of its own",
    });
  }

  override async onBatchBegin(): Promise<void> {
    this.batchHasBegun = true;
    this.engine.beginStep();
  }

  override async onBatchEnd(_batch: number, logs: Logs = {}): Promise<void> {
    const { batch: _, size: __, loss, ...scalars } = logs;
    const ended = this.endStep({ ...(loss !== undefined && { loss }), scalars });
    // Some trainers tell only of ends.
    if (!this.batchHasBegun) this.engine.beginStep();
    this.batchHasBegun = false;
    await ended;
  }

  override async onEpochEnd(_epoch: number, logs: Logs = {}): Promise<void> {
    // The others are averages of what the batches told already.
    const validation = Object.entries(logs).filter(([name]) => name.startsWith('val_'));
    for (const [name, value] of validation) {
      try {
        this.engine.log({ [name]: typeof value === 'number' ? value : ((await value.data())[0] as number) });
      } catch (error) {
        this.engine.faults.add(`the scalar '${name}'`, error);
      }
    }
  }

  override async onTrainEnd(): Promise<void> {
    await this.reading;
    this.engine.stopMeasuring();
  }

  private async endStep(report: StepReport): Promise<void> {
    const pending = this.engine.endStep(report);
    if (pending === undefined) return;
    // WebGL and WebGPU work on while the values come; the others have them now, and nothing is gained by waiting.
    if (!tf.getBackend().startsWith('webg')) {
      this.readSync(pending);
      return;
    }
    if (this.readingCount >= mostReadings) {
      pending.release();
      this.engine.faults.add(
        'a sampled step',
        new Error('the steps before it are still being read: await monitor.step()'),
      );
      return;
    }
    const before = this.reading;
    this.reading = this.read(pending, before);
    await before; // at most one is left on its way
  }

  private readSync(pending: PendingStep): void {
    try {
      pending.finish(pending.download.dataSync<'float32'>());
    } catch (error) {
      this.engine.faults.add('reading a step back', error);
    } finally {
      pending.release();
    }
  }

  private async read(pending: PendingStep, before: Promise<void>): Promise<void> {
    this.readingCount += 1;
    try {
      const [values] = await Promise.all([pending.download.data<'float32'>(), before]);
      pending.finish(values);
    } catch (error) {
      this.engine.faults.add('reading a step back', error);
    } finally {
      this.readingCount -= 1;
      pending.release();
    }
  }
}

/** A loop that does not await its steps would fill the device with what is still to be read. */
const mostReadings = 2;

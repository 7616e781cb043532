/**
 * The monitor: one engine with three ways in. A callback for fit and fitDataset; `attach` and `step` for loops of one's own;
 * `tap` for models without layers. Nothing in here throws into training: faults are counted and told once.
 */
import * as tf from '@tensorflow/tfjs-core';
import { Callback, type LayersModel } from '@tensorflow/tfjs-layers';
import { messageOf, OutlierscopeError } from '../src/errors.ts';
import type { Site, SiteKind } from '../src/messages.ts';
import { Capture } from './capture/capture.ts';
import { isLayer, type LayerLike } from './capture/layers.ts';
import { isTrainingPass, StepProbe } from './capture/probe.ts';
import { chooseSites } from './capture/sites.ts';
import type { DeliveryReport } from './delivery/delivery.ts';
import { measureActivations } from './measure/metrics.ts';
import type { SummaryParts } from './measure/summary.ts';
import { type MonitorOptions, resolveOptions, type Settings } from './options.ts';
import { Recorder, type StepMeasurement } from './recorder.ts';

/** What a loop tells of a step. Numbers or scalar tensors; tensors stay the caller's. */
export interface StepReport {
  readonly loss?: number | tf.Tensor;
  readonly learningRate?: number;
}

/** How `close` waits. */
export interface CloseOptions {
  /** Default 'finished'. */
  readonly outcome?: 'finished' | 'failed';
  /** Longest wait for the server to confirm the last frames, in milliseconds. Default 10,000. */
  readonly deadlineMilliseconds?: number;
}

/** Rows that max_median_ratio looks at. */
const sampledRowCount = 64;

/** Made by `outlierMonitor`. Passes as a TensorFlow.js callback. */
export class OutlierMonitor extends Callback {
  private readonly settings: Settings;
  private readonly parts: SummaryParts;
  private readonly recorder: Recorder;
  private attached: LayerLike | undefined;
  private capture: Capture | undefined;
  private probe: StepProbe | undefined;
  private stepNumber: number;
  private stepBegan = 0;
  private learningRate = Number.NaN;
  private readonly told = new Set<string>();
  private faultCount = 0;

  /** @throws OutlierscopeError for an option that is not right. */
  constructor(options: MonitorOptions) {
    super();
    const environment = (globalThis as { process?: { env?: Record<string, string | undefined> } }).process?.env ?? {};
    this.settings = resolveOptions(options, environment);
    this.parts = {
      propagation: true,
      sampledRows: this.settings.metrics.includes('max_median_ratio') ? sampledRowCount : 0,
    };
    this.stepNumber = this.settings.initialStep;
    this.recorder = new Recorder(this.settings);
    // CustomCallback takes the methods off the object, so they carry their `this`.
    this.onTrainBegin = this.onTrainBegin.bind(this);
    this.onTrainEnd = this.onTrainEnd.bind(this);
    this.onBatchBegin = this.onBatchBegin.bind(this);
    this.onBatchEnd = this.onBatchEnd.bind(this);
  }

  /** The id of this run on the server: a new one for every monitor. */
  get runId(): string {
    return this.recorder.runId;
  }

  /** What the last sampled step gave; undefined before the first. */
  get latest(): StepMeasurement | undefined {
    return this.recorder.latest;
  }

  /** How often the monitor failed at something of its own. Each kind is told once through the option `warn`. */
  get faults(): number {
    return this.faultCount;
  }

  /**
   * Watches a model in a loop of one's own, from the next step on.
   * @throws OutlierscopeError when it is no tfjs model, or has no layer to watch.
   */
  attach(model: LayersModel | object): this {
    if (!isLayer(model)) {
      throw new OutlierscopeError(`attach needs a TensorFlow.js model or layer, received ${describe(model)}`, {
        code: 'not-a-model',
        hint: 'for a model of plain operations use monitor.tap(name, tensor)',
      });
    }
    if (this.attached === model) return this;
    this.capture?.remove();
    this.capture = new Capture(chooseSites(model, this.settings.sites));
    this.attached = model;
    this.beginStep();
    return this;
  }

  /** Identity: measures a tensor [..., width] under a name, where a model has no layers. Costs nothing on steps that are not sampled. */
  tap<T extends tf.Tensor>(name: string, x: T): T {
    return this.observe({ name, kind: 'custom', path: name }, x) as T;
  }

  /** Ends a step of one's own loop; call it once for every update of the weights. */
  async step(report: StepReport = {}): Promise<void> {
    await this.endStep(report);
    this.beginStep();
  }

  /** The same without yielding to the event loop. */
  stepSync(report: StepReport = {}): void {
    this.endStepSync(report);
    this.beginStep();
  }

  /** Sends what is left and says goodbye. Resolves with what was delivered, at the latest when the deadline is over. */
  async close({ outcome = 'finished', deadlineMilliseconds = 10_000 }: CloseOptions = {}): Promise<DeliveryReport> {
    this.stopMeasuring();
    return this.recorder.close(outcome, deadlineMilliseconds);
  }

  // The callback's side. tfjs calls these in this order.

  override setModel(model: LayersModel): void {
    this.model = model;
    this.attach(model);
  }

  override async onTrainBegin(): Promise<void> {
    if (this.capture !== undefined) return;
    throw new OutlierscopeError('TensorFlow.js did not hand the model to the monitor', {
      code: 'no-model',
      hint: 'call monitor.attach(model) before fit, or make the monitor the first in the callbacks array',
    });
  }

  override async onBatchBegin(): Promise<void> {
    this.beginStep();
  }

  override async onBatchEnd(
    _batch: number,
    logs?: tf.NamedTensorMap | Record<string, number | tf.Tensor>,
  ): Promise<void> {
    await this.endStep({ ...(logs?.['loss'] !== undefined && { loss: logs['loss'] as number | tf.Tensor }) });
  }

  override async onTrainEnd(): Promise<void> {
    this.stopMeasuring();
  }

  private beginStep(): void {
    this.stopMeasuring();
    if ((this.stepNumber - this.settings.initialStep) % this.settings.every !== 0) return;
    this.probe = new StepProbe(this.parts, (error) => this.fault('measuring a site', error));
    this.stepBegan = performance.now();
    this.learningRate = learningRateOf(this.attached);
    this.capture?.install((site, output) => this.observe(site, output) as tf.Tensor);
  }

  private stopMeasuring(): void {
    this.capture?.remove();
    this.probe?.dispose();
    this.probe = undefined;
  }

  private observe(site: { name: string; kind: SiteKind; path: string }, x: unknown): unknown {
    const { probe } = this;
    if (probe === undefined) return x;
    try {
      if (!isTrainingPass() || !measurable(x)) return x;
      const { name, kind, path } = site;
      this.recorder.declareSite({ name, kind, path, width: x.shape[x.shape.length - 1] as number } satisfies Site);
      return probe.observe(name, x);
    } catch (error) {
      this.fault(`measuring ${site.name}`, error);
      return x;
    }
  }

  private async endStep(report: StepReport): Promise<void> {
    const pending = this.pendingStep(report);
    if (pending === undefined) return;
    try {
      pending.finish(await pending.download.data<'float32'>());
    } catch (error) {
      this.fault('reading a step back', error);
    } finally {
      pending.release();
    }
  }

  private endStepSync(report: StepReport): void {
    const pending = this.pendingStep(report);
    if (pending === undefined) return;
    try {
      pending.finish(pending.download.dataSync<'float32'>());
    } catch (error) {
      this.fault('reading a step back', error);
    } finally {
      pending.release();
    }
  }

  /** Ends the measuring of a step: what is left is to download one tensor and to make a frame of it. */
  private pendingStep({ loss, learningRate }: StepReport): PendingStep | undefined {
    const step = this.stepNumber++;
    const { probe, stepBegan } = this;
    this.capture?.remove();
    this.probe = undefined;
    if (probe === undefined) return undefined;
    try {
      const readBegan = performance.now();
      const tensors = loss !== undefined && typeof loss !== 'number' ? [loss] : [];
      const download = probe.gather(tensors);
      const finish = (values: Float32Array): void => {
        const { sites, extra } = probe.finish(values);
        const measured = new Map(
          [...sites].map(([name, seen]) => [
            name,
            measureActivations(seen.activations, seen.nonfinite, this.settings.topNeurons),
          ]),
        );
        const now = performance.now();
        const scalars = {
          loss: typeof loss === 'number' ? loss : (extra[0] ?? Number.NaN),
          learning_rate: learningRate ?? this.learningRate,
          step_seconds: (now - stepBegan) / 1000,
          probe_seconds: probe.seconds + (now - readBegan) / 1000,
        };
        if (measured.size === 0) this.nothingSeen();
        else this.recorder.record({ step, scalars, sites: measured });
      };
      return { download, finish, release: () => tf.dispose(download) };
    } catch (error) {
      probe.dispose();
      this.fault('ending a step', error);
      return undefined;
    }
  }

  private nothingSeen(): void {
    this.fault(
      'a sampled step',
      new Error(
        this.capture === undefined
          ? 'no tap was passed during it: call monitor.tap(name, tensor) within the function that is differentiated, or monitor.attach(model)'
          : 'no watched layer ran in a training pass during it: is this the model that is trained?',
      ),
    );
  }

  private fault(where: string, error: unknown): void {
    this.faultCount += 1;
    if (this.told.has(where)) return;
    this.told.add(where);
    this.settings.warn(`${where}: ${messageOf(error)} (told once; training goes on)`);
  }
}

interface PendingStep {
  readonly download: tf.Tensor2D;
  finish(values: Float32Array): void;
  release(): void;
}

function measurable(x: unknown): x is tf.Tensor {
  return x instanceof tf.Tensor && x.rank >= 2 && x.size > 0 && x.dtype !== 'string' && x.dtype !== 'complex64';
}

/** tfjs optimisers keep their learning rate in a protected field. */
function learningRateOf(model: LayerLike | undefined): number {
  const rate = (model as { optimizer?: { learningRate?: unknown } } | undefined)?.optimizer?.learningRate;
  return typeof rate === 'number' ? rate : Number.NaN;
}

function describe(value: unknown): string {
  return value === null
    ? 'null'
    : typeof value === 'object'
      ? `an object of class ${value.constructor?.name ?? 'none'}`
      : typeof value;
}

/**
 * The engine behind all three ways in: decides which steps are sampled, measures them, and hands frames to the recorder.
 * Nothing in here throws into training: faults are counted and told once.
 */
import * as tf from '@tensorflow/tfjs-core';
import { siteMetric } from '../src/catalogue.ts';
import { messageOf, OutlierscopeError } from '../src/errors.ts';
import type { SiteKind } from '../src/messages.ts';
import { Capture, type LayerCall } from './capture/capture.ts';
import { findLayers, isLayer, type LayerLike } from './capture/layers.ts';
import { isTrainingPass, type ProbeParts, StepProbe } from './capture/probe.ts';
import { chooseSites } from './capture/sites.ts';
import { describe, whyNotMeasurable } from './capture/tensors.ts';
import type { DeliveryReport } from './delivery/delivery.ts';
import type { AttentionTensors } from './measure/attention.ts';
import { activationParts } from './measure/layout.ts';
import { measureSite } from './measure/site.ts';
import type { Settings } from './options.ts';
import { Recorder } from './recorder.ts';
import { movementBetween, Sampler } from './sampling.ts';

/** What a loop tells of a step. Numbers or scalar tensors; tensors stay the caller's. */
export interface StepReport {
  readonly loss?: number | tf.Tensor;
  readonly learningRate?: number;
  /** Global norm of the gradients before clipping. */
  readonly gradientNorm?: number | tf.Tensor;
  /** Anything else worth a line: accuracy, tokens per second. Kept on sampled steps. */
  readonly scalars?: Readonly<Record<string, number | tf.Tensor>>;
}

/** What is left of a sampled step when it is over: one tensor to download, and what to do with its values. */
export interface PendingStep {
  readonly download: tf.Tensor2D;
  finish(values: Float32Array): void;
  release(): void;
}

export class Engine {
  readonly recorder: Recorder;
  private readonly settings: Settings;
  private readonly parts: ProbeParts;
  private readonly sampler: Sampler;
  private readonly capture = new Capture();
  private readonly models: LayerLike[] = [];
  private probe: StepProbe | undefined;
  private readonly tapped = new Map<string, unknown>();
  private stepNumber: number;
  private stepBegan = 0;
  private learningRate: number | undefined;
  private kurtosisBefore: ReadonlyMap<string, number> = new Map();
  private lossWasFinite = true;
  private readonly told = new Set<string>();
  private faultCount = 0;

  constructor(settings: Settings) {
    this.settings = settings;
    this.parts = {
      activations: activationParts(settings.metrics),
      gradients: settings.metrics.some((name) => siteMetric(name)?.of === 'gradients') ? 'measured' : 'left out',
    };
    this.stepNumber = settings.initialStep;
    this.sampler = new Sampler(settings.sampling, settings.initialStep);
    this.recorder = new Recorder(settings);
  }

  get faults(): number {
    return this.faultCount;
  }

  get watchesLayers(): boolean {
    return this.capture.size > 0;
  }

  /** Watches a model's layers beside those watched already. @throws OutlierscopeError `not-a-model`, `no-site`. */
  attach(model: unknown): void {
    if (!isLayer(model)) {
      throw new OutlierscopeError(`attach needs a TensorFlow.js model or layer, received ${describe(model)}`, {
        code: 'not-a-model',
        hint: 'for a model of plain operations use monitor.tap(name, tensor)',
      });
    }
    if (this.models.includes(model)) return;
    const attentionLayers = findLayers(model).filter(({ className }) =>
      Object.hasOwn(this.settings.attention, className),
    );
    this.capture.add(chooseSites(model, this.settings.sites), model.name, 'output');
    this.capture.add(attentionLayers, model.name, 'attention only');
    this.models.push(model);
  }

  /** Identity. Measures a tensor under a name on sampled steps. @throws OutlierscopeError `symbolic-tensor` while a model is built. */
  tap<T extends tf.Tensor>(name: string, x: T): T {
    if (this.probe === undefined && whyNotMeasurable(x) !== 'it is symbolic') return x;
    const before = this.faultCount;
    const site = { name, kind: 'custom', path: name } as const;
    return (this.firstUse(name) && before === this.faultCount ? this.observe(site, x) : x) as T;
  }

  /** Measures attention weights and logits under a name on sampled steps. */
  tapAttention(name: string, tensors: AttentionTensors): void {
    if (this.probe !== undefined && this.firstUse(`attention of ${name}`)) this.observeAttention(name, () => tensors);
  }

  /** Numbers for the next frame. */
  log(scalars: Readonly<Record<string, number>>): void {
    this.guarded('log', () => this.recorder.log(scalars));
  }

  /** To be called when a step begins. Ends the measuring of one that was not ended. */
  beginStep(): void {
    this.stopMeasuring();
    if (!this.sampler.isDue(this.stepNumber)) return;
    this.probe = new StepProbe(this.parts, (site, error) => this.fault(`measuring ${site}`, error));
    this.tapped.clear();
    this.learningRate = learningRateOf(this.models);
    if (this.watchesLayers) this.capture.install((call, output) => this.layerCalled(call, output));
    this.stepBegan = performance.now();
  }

  /** Leaves layers and memory as they were. */
  stopMeasuring(): void {
    this.capture.remove();
    this.probe?.dispose();
    this.probe = undefined;
  }

  /** Ends a step; undefined where there is nothing to read back. */
  endStep(report: StepReport): PendingStep | undefined {
    const step = this.stepNumber++;
    const { probe } = this;
    this.recorder.poll();
    this.capture.remove();
    this.probe = undefined;
    if (probe === undefined) {
      this.checkLoss(step, report.loss);
      return undefined;
    }
    return this.guarded(
      'ending a step',
      () => this.pendingStep(step, probe, report),
      () => probe.dispose(),
    );
  }

  /** Counts a fault and tells each kind once. */
  fault(where: string, error: unknown): void {
    this.faultCount += 1;
    if (this.told.has(where)) return;
    this.told.add(where);
    this.settings.warn(`${where}: ${messageOf(error)} (told once; training goes on)`);
  }

  close(outcome: 'finished' | 'failed', deadlineMilliseconds: number): Promise<DeliveryReport> {
    this.stopMeasuring();
    this.guarded('closing', () =>
      this.recorder.recordLeftover(Math.max(this.settings.initialStep, this.stepNumber - 1)),
    );
    return this.recorder.close(outcome, deadlineMilliseconds);
  }

  private layerCalled({ watched, site, inputs, kwargs }: LayerCall, output: tf.Tensor): tf.Tensor {
    const observed =
      watched.measured === 'output'
        ? this.observe({ name: site, kind: watched.kind, path: watched.path }, output)
        : output;
    const adapter = this.settings.attention[watched.className];
    if (adapter !== undefined)
      this.observeAttention(site, () => adapter({ layer: watched.layer, inputs, kwargs, output }));
    return observed as tf.Tensor;
  }

  private observe(site: { name: string; kind: SiteKind; path: string }, x: unknown): unknown {
    const why = whyNotMeasurable(x);
    if (why === 'it is symbolic') {
      throw new OutlierscopeError(`tap('${site.name}') received a symbolic tensor`, {
        code: 'symbolic-tensor',
        hint: 'a model of layers is watched with monitor.attach(model)',
      });
    }
    const { probe } = this;
    if (probe === undefined || !isTrainingPass()) return x;
    try {
      if (why !== undefined) throw new Error(`${why}, so it is left out`);
      const { shape } = x as tf.Tensor;
      this.recorder.declareSite({ ...site, width: shape[shape.length - 1] as number });
      return probe.observe(site.name, x as tf.Tensor);
    } catch (error) {
      this.fault(`measuring ${site.name}`, error);
      return x;
    }
  }

  private observeAttention(name: string, tensors: () => AttentionTensors): void {
    const { probe } = this;
    if (probe === undefined || !isTrainingPass()) return;
    probe.observeAttention(name, () => {
      const given = tensors();
      const { shape } = given.weights ?? given.logits ?? { shape: [1] };
      if (!this.recorder.hasSite(name)) {
        this.recorder.declareSite({ name, kind: 'attention', path: name, width: shape[shape.length - 1] as number });
      }
      return given;
    });
  }

  /** A name stands for one place: a second use within a forward pass, or for a watched layer, is left out. */
  private firstUse(name: string): boolean {
    const { activeTape } = tf.engine().state;
    const taken = this.capture.has(name) || (this.tapped.has(name) && this.tapped.get(name) === activeTape);
    if (taken && isTrainingPass()) {
      this.fault(`tap('${name}')`, new Error('the name is in use for another place; give each place its own'));
    }
    this.tapped.set(name, activeTape);
    return !taken;
  }

  private pendingStep(step: number, probe: StepProbe, report: StepReport): PendingStep {
    const readBegan = performance.now();
    const given: Record<string, number | tf.Tensor | undefined> = {
      ...report.scalars,
      loss: report.loss,
      learning_rate: report.learningRate ?? this.learningRate,
      gradient_norm: report.gradientNorm ?? gradientNormOf(this.models),
    };
    const tensors = Object.entries(given).filter(
      (entry): entry is [string, tf.Tensor] => entry[1] instanceof tf.Tensor,
    );
    const download = probe.gather(tensors.map(([, tensor]) => tensor));
    const finish = (values: Float32Array): void => {
      const { sites, extra } = probe.finish(values);
      const scalars: Record<string, number> = {};
      for (const [name, value] of Object.entries(given)) if (typeof value === 'number') scalars[name] = value;
      for (const [index, [name]] of tensors.entries()) scalars[name] = extra[index] as number;
      const measured = new Map([...sites].map(([name, seen]) => [name, measureSite(seen, this.settings.topNeurons)]));
      const now = performance.now();
      scalars['step_seconds'] = (now - this.stepBegan) / 1000;
      scalars['probe_seconds'] = probe.seconds + (now - readBegan) / 1000;
      const kurtosis = new Map([...measured].map(([name, { metrics }]) => [name, metrics.kurtosis ?? Number.NaN]));
      this.sampler.sampled(step, movementBetween(this.kurtosisBefore, kurtosis));
      this.kurtosisBefore = kurtosis;
      this.lossWasFinite = Number.isFinite(scalars['loss'] ?? 0);
      if (measured.size === 0) this.fault('a sampled step', new Error(this.whyNothingSeen()));
      else this.recorder.record({ step, scalars, sites: measured });
    };
    return { download, finish, release: () => tf.dispose(download) };
  }

  /** Off sampled steps: a loss that lies on the host costs nothing to check. When it stops being finite, that is a frame. */
  private checkLoss(step: number, loss: unknown): void {
    if (typeof loss !== 'number') return;
    const finite = Number.isFinite(loss);
    if (!finite && this.lossWasFinite) {
      this.recorder.record({ step, scalars: { loss }, sites: new Map() });
      this.sampler.hurry(step + 1);
    }
    this.lossWasFinite = finite;
  }

  private whyNothingSeen(): string {
    return this.watchesLayers
      ? 'no watched layer ran in a training pass: is this the model that is trained?'
      : 'nothing was tapped: call monitor.tap(name, tensor) within the function that is differentiated, or monitor.attach(model)';
  }

  private guarded<Result>(where: string, work: () => Result, otherwise?: () => void): Result | undefined {
    try {
      return work();
    } catch (error) {
      otherwise?.();
      this.fault(where, error);
      return undefined;
    }
  }
}

interface OptimizerLike {
  readonly learningRate?: unknown;
  readonly gradientNorm?: unknown;
}

function optimizersOf(models: readonly LayerLike[]): OptimizerLike[] {
  return models.map((model) => (model as { optimizer?: OptimizerLike }).optimizer).filter((each) => each !== undefined);
}

/** tfjs's own optimisers keep their learning rate in a protected field. */
function learningRateOf(models: readonly LayerLike[]): number | undefined {
  const rate = optimizersOf(models)
    .map(({ learningRate }) => learningRate)
    .find((each) => typeof each === 'number');
  return rate as number | undefined;
}

/** Optimisers of outlierscope/optimizers that clip know the norm. */
function gradientNormOf(models: readonly LayerLike[]): tf.Tensor | undefined {
  const norm = optimizersOf(models)
    .map(({ gradientNorm }) => gradientNorm)
    .find((each) => each instanceof tf.Tensor);
  return norm as tf.Tensor | undefined;
}

/**
 * The engine behind all three ways in: decides which steps are sampled, measures them, and hands frames to the recorder.
 * Nothing in here throws into training: faults are counted and told once.
 */
import * as tf from '@tensorflow/tfjs-core';
import { siteMetric } from '../src/catalogue.ts';
import { Observer } from './capture/observer.ts';
import { type ProbeParts, StepProbe } from './capture/probe.ts';
import type { DeliveryReport } from './delivery/delivery.ts';
import { Faults } from './faults.ts';
import type { AttentionTensors } from './measure/attention.ts';
import { activationParts } from './measure/layout.ts';
import { measureSite, type SiteMeasurement } from './measure/site.ts';
import { gradientNormOf, learningRateOf } from './optimizer-state.ts';
import type { Settings } from './options.ts';
import { Recorder } from './recorder.ts';
import { movementBetween, Sampler } from './sampling.ts';
import { NonfiniteWatch, named, type StepReport, type StepScalars, scalarsOnHost, sortScalars } from './step-report.ts';

export type { StepReport } from './step-report.ts';

/** What is left of a sampled step when it is over: one tensor to download, and what to do with its values. */
export interface PendingStep {
  readonly download: tf.Tensor2D;
  finish(values: Float32Array): void;
  /** Gives back all memory; to be called however the download went. */
  release(): void;
}

export class Engine {
  readonly recorder: Recorder;
  readonly faults: Faults;
  private readonly settings: Settings;
  private readonly parts: ProbeParts;
  private readonly sampler: Sampler;
  private readonly observer: Observer;
  private stepNumber: number;
  private hasBegun = false;
  private isClosed = false;
  private stepBegan = 0;
  private faultsBefore = 0;
  private learningRate: number | undefined;
  private kurtosisBefore: ReadonlyMap<string, number> = new Map();
  private readonly nonfinite = new NonfiniteWatch();

  constructor(settings: Settings) {
    this.settings = settings;
    this.faults = new Faults(settings.warn);
    this.parts = {
      activations: activationParts(settings.metrics),
      gradients: settings.metrics.some((name) => siteMetric(name)?.of === 'gradients') ? 'measured' : 'left out',
    };
    this.stepNumber = settings.initialStep;
    this.sampler = new Sampler(settings.sampling, settings.initialStep);
    this.recorder = new Recorder(settings);
    this.observer = new Observer({
      sites: settings.sites,
      attention: settings.attention,
      declareSite: (site) => this.recorder.declareSite(site),
      hasSite: (name) => this.recorder.hasSite(name),
      onFault: (where, error) => this.faults.add(where, error),
    });
  }

  /** Is there nothing that it could measure in a model of layers? */
  get lacksModel(): boolean {
    return this.observer.attached.length === 0 && this.settings.sites?.length !== 0;
  }

  /** Watches a model's layers beside those watched already. @throws OutlierscopeError `not-a-model`, `no-site`. */
  attach(model: object): void {
    this.observer.attach(model);
    if (!this.observer.isMeasuring) this.beginStep();
  }

  /** Identity. Measures a tensor under a name on sampled steps. @throws OutlierscopeError `symbolic-tensor` while a model is built. */
  tap<T extends tf.Tensor>(name: string, x: T): T {
    if (!this.hasBegun) this.beginStep(); // nobody says when the first step of a loop begins
    return this.observer.tap(name, x);
  }

  /** Measures attention weights and logits under a name on sampled steps. */
  tapAttention(name: string, tensors: AttentionTensors): void {
    if (!this.hasBegun) this.beginStep();
    this.observer.tapAttention(name, tensors);
  }

  /** Numbers for the next frame. */
  log(scalars: Readonly<Record<string, number>>): void {
    this.faults.guard('log', () => this.recorder.log(scalars));
  }

  /** To be called when a step begins. Ends the measuring of one that was not ended. */
  beginStep(): void {
    this.hasBegun = true;
    this.stopMeasuring();
    if (this.isClosed || !this.sampler.isDue(this.stepNumber)) return;
    this.faults.guard(
      'beginning a step',
      () => {
        this.observer.begin(new StepProbe(this.parts, (site, error) => this.faults.add(`measuring ${site}`, error)));
        this.learningRate = learningRateOf(this.observer.attached);
        this.faultsBefore = this.faults.count;
        this.stepBegan = performance.now();
      },
      () => this.stopMeasuring(),
    );
  }

  /** Leaves layers and memory as they were. */
  stopMeasuring(): void {
    this.faults.guard('letting go of the model', () => this.observer.end()?.dispose());
  }

  /** Ends a step; undefined where there is nothing to read back. */
  endStep(report: StepReport): PendingStep | undefined {
    const step = this.stepNumber++;
    return this.faults.guard('ending a step', () => {
      const probe = this.observer.end();
      this.recorder.poll();
      if (probe !== undefined) return this.pendingStep(step, probe, report);
      this.checkScalars(step, report);
      return undefined;
    });
  }

  close(outcome: 'finished' | 'failed', deadlineMilliseconds: number): Promise<DeliveryReport> {
    this.stopMeasuring();
    this.isClosed = true;
    const { initialStep } = this.settings;
    this.faults.guard('closing', () => this.recorder.recordLeftover(Math.max(initialStep, this.stepNumber - 1)));
    return this.recorder.close(outcome, deadlineMilliseconds);
  }

  private pendingStep(step: number, probe: StepProbe, report: StepReport): PendingStep {
    const { stepBegan } = this;
    const readBegan = performance.now();
    this.sampler.sampled(step);
    try {
      const scalars = this.scalarsOf(report);
      const download = tf.keep(probe.gather(scalars.tensors.map(([, tensor]) => tensor)));
      return {
        download,
        finish: (values) => {
          const { sites, extra } = probe.finish(values);
          const measured = new Map(
            [...sites].map(([name, seen]) => [name, measureSite(seen, this.settings.topNeurons)]),
          );
          const all = { ...scalars.numbers };
          for (const [index, [name]] of scalars.tensors.entries()) all[name] = extra[index] as number;
          const now = performance.now();
          all['step_seconds'] = (now - stepBegan) / 1000;
          all['probe_seconds'] = probe.seconds + (now - readBegan) / 1000;
          this.record(step, all, measured);
        },
        release: () => {
          probe.dispose();
          tf.dispose(download);
        },
      };
    } catch (error) {
      probe.dispose();
      throw error;
    }
  }

  private scalarsOf(report: StepReport): StepScalars {
    const { learningRate, gradientNorm } = report;
    const given = {
      ...named(report),
      learning_rate: learningRate ?? this.learningRate,
      gradient_norm: gradientNorm ?? gradientNormOf(this.observer.attached),
    };
    return sortScalars(given, (name, why) =>
      this.faults.add(`the scalar '${name}'`, new Error(`${why}, so it is left out`)),
    );
  }

  private record(step: number, scalars: Record<string, number>, sites: ReadonlyMap<string, SiteMeasurement>): void {
    const kurtosis = new Map([...sites].map(([name, { metrics }]) => [name, metrics.kurtosis ?? Number.NaN]));
    this.sampler.moved(step, movementBetween(this.kurtosisBefore, kurtosis));
    this.kurtosisBefore = kurtosis;
    this.nonfinite.see(scalars);
    // Where something was left out, that was told.
    if (sites.size === 0 && this.faults.count === this.faultsBefore)
      this.faults.add('a sampled step', new Error(this.whyNothingSeen()));
    this.recorder.record({ step, scalars, sites });
  }

  /** Off sampled steps: what lies on the host costs nothing to check. When it stops being finite, that is a frame. */
  private checkScalars(step: number, report: StepReport): void {
    const scalars = scalarsOnHost(named(report));
    if (!this.nonfinite.see(scalars)) return;
    this.recorder.record({ step, scalars, sites: new Map() });
    this.sampler.hurry(step + 1);
  }

  private whyNothingSeen(): string {
    return this.observer.attached.length > 0
      ? 'no watched layer ran in a training pass: is this the model that is trained?'
      : 'nothing was tapped: call monitor.tap(name, tensor) within the function that is differentiated, or monitor.attach(model)';
  }
}

/** Brings what goes through layers and taps to the probe of a sampled step, or passes it on untouched. Throws nothing in training. */
import * as tf from '@tensorflow/tfjs-core';
import { OutlierscopeError } from '../../src/errors.ts';
import type { Site } from '../../src/messages.ts';
import type { AttentionTensors } from '../measure/attention.ts';
import type { AttentionAdapter } from '../options.ts';
import { Capture, type LayerCall } from './capture.ts';
import { isTrainingPass, type StepProbe } from './probe.ts';
import { chooseLayers, holderOfLayers, type SiteChoice } from './sites.ts';
import { isSymbolic, whyNotMeasurable } from './tensors.ts';

/** What an observer works with. */
export interface ObserverParts {
  readonly sites: SiteChoice;
  readonly attention: Readonly<Record<string, AttentionAdapter>>;
  /** Declares a site before anything of it is recorded. @throws when there cannot be such a site. */
  readonly declareSite: (site: Site) => void;
  readonly hasSite: (name: string) => boolean;
  readonly onFault: (where: string, error: unknown) => void;
}

export class Observer {
  /** What the user attached. */
  readonly attached: object[] = [];
  private readonly parts: ObserverParts;
  private readonly capture = new Capture();
  private probe: StepProbe | undefined;
  /** Names used by taps in this step, each with the gradient tape of the pass that used it. */
  private readonly tapped = new Map<string, unknown>();

  constructor(parts: ObserverParts) {
    this.parts = parts;
  }

  get isMeasuring(): boolean {
    return this.probe !== undefined;
  }

  /** Watches a model's layers beside those watched already. @throws OutlierscopeError `not-a-model`, `no-site`. */
  attach(attached: object): void {
    const { sites, attention } = this.parts;
    const model = holderOfLayers(attached);
    if (this.attached.includes(model)) return;
    const chosen = chooseLayers(model, sites, Object.keys(attention));
    const names = [attached, model].map((each) => (each as { name?: unknown }).name);
    const name = names.find((each) => typeof each === 'string') ?? 'model';
    this.capture.add(chosen.measured, name, 'output');
    this.capture.add(chosen.attention, name, 'attention only');
    this.attached.push(model);
    if (this.probe !== undefined) this.capture.install((call, output) => this.layerCalled(call, output));
  }

  /** From here on, training passes are measured. */
  begin(probe: StepProbe): void {
    this.probe = probe;
    this.capture.install((call, output) => this.layerCalled(call, output));
  }

  /** Leaves the layers as they were, and gives back the probe with what it measured. */
  end(): StepProbe | undefined {
    const { probe } = this;
    this.probe = undefined;
    this.tapped.clear();
    this.capture.remove();
    return probe;
  }

  /** Identity. @throws OutlierscopeError `symbolic-tensor` while a model is built. */
  tap<T extends tf.Tensor>(name: string, x: T): T {
    if (isSymbolic(x)) {
      throw new OutlierscopeError(`tap('${name}') received a symbolic tensor`, {
        code: 'symbolic-tensor',
        hint: 'a model of layers is watched with monitor.attach(model)',
      });
    }
    if (this.probe === undefined || !isTrainingPass() || !this.isFirstUse(name, name)) return x;
    return this.observe({ name, kind: 'custom', path: name }, x);
  }

  tapAttention(name: string, tensors: AttentionTensors): void {
    if (this.probe === undefined || !isTrainingPass() || !this.isFirstUse(name, `attention of ${name}`)) return;
    this.observeAttention(name, () => tensors);
  }

  private layerCalled({ watched, site, inputs, kwargs }: LayerCall, output: tf.Tensor): tf.Tensor {
    if (this.probe === undefined || !isTrainingPass()) return output;
    const { kind, path, layer, className, measured } = watched;
    const observed = measured === 'output' ? this.observe({ name: site, kind, path }, output) : output;
    if (Object.hasOwn(this.parts.attention, className)) {
      const adapter = this.parts.attention[className] as AttentionAdapter;
      this.observeAttention(site, () => adapter({ layer, inputs, kwargs, output }));
    }
    return observed;
  }

  private observe<T extends tf.Tensor>(site: Omit<Site, 'width'>, x: T): T {
    const { probe } = this;
    if (probe === undefined) return x;
    try {
      const why = whyNotMeasurable(x);
      if (why !== undefined) throw new Error(`${why}, so it is left out`);
      this.parts.declareSite({ ...site, width: x.shape[x.rank - 1] as number });
      return probe.observe(site.name, x);
    } catch (error) {
      this.parts.onFault(`measuring ${site.name}`, error);
      return x;
    }
  }

  private observeAttention(name: string, tensors: () => AttentionTensors): void {
    this.probe?.observeAttention(name, () => {
      const given = tensors();
      const present = [given.weights, given.logits].filter((tensor) => tensor !== undefined);
      const why = present.length === 0 ? 'neither weights nor logits' : present.map(whyNotMeasurable).find(Boolean);
      if (why !== undefined) throw new Error(`its attention: ${why}, so it is left out`);
      if (!this.parts.hasSite(name)) {
        const keys = present[0]?.shape.at(-1) as number;
        this.parts.declareSite({ name, kind: 'attention', path: name, width: keys });
      }
      return given;
    });
  }

  /** A name stands for one place: a second use within a forward pass, or for a watched layer, is left out. */
  private isFirstUse(name: string, use: string): boolean {
    const { activeTape } = tf.engine().state;
    const taken = this.capture.has(name) || this.tapped.get(use) === activeTape;
    if (taken) {
      const why = 'the name is in use for another place; give each place its own';
      this.parts.onFault(`tap('${name}')`, new Error(why));
    }
    this.tapped.set(use, activeTape);
    return !taken;
  }
}

/**
 * Turns what was measured at sampled steps into frames, and hands them to delivery. Knows nothing of TensorFlow.js.
 */
import { openDelivery } from '#delivery';
import { catalogueVersion, frameScalars, type SiteMetricName, siteMetric } from '../src/catalogue.ts';
import { messageOf, OutlierscopeError } from '../src/errors.ts';
import { absentScalars, absentValues, encodeFrame, type Frame, noNeuron } from '../src/frame.ts';
import { type Action, type ActionResult, type Hello, limits, protocolVersion, type Site } from '../src/messages.ts';
import type { Delivery, DeliveryEvent, DeliveryReport } from './delivery/delivery.ts';
import type { SiteMeasurement } from './measure/site.ts';
import type { Settings } from './options.ts';

/** What one sampled step gave. */
export interface StepMeasurement {
  readonly step: number;
  /** Values by scalar name. */
  readonly scalars: Readonly<Record<string, number>>;
  readonly sites: ReadonlyMap<string, SiteMeasurement>;
}

export class Recorder {
  readonly runId: string;
  /** The last that was recorded. */
  latest: StepMeasurement | undefined;
  private readonly settings: Settings;
  private readonly delivery: Delivery;
  private readonly startedAt = Date.now();
  private readonly sites = new Map<string, Site>();
  private readonly scalars: string[] = frameScalars.map(({ name }) => name);
  private scalarsAreFull = false;
  /** The frames' columns, fixed with the first frame. */
  private metrics: readonly SiteMetricName[] = [];
  private logged: Record<string, number> = {};
  private started = false;
  private sequence = 0;
  private report: Promise<DeliveryReport> | undefined;
  private closed: (report: DeliveryReport) => void = () => {};
  /** Delivery ended, by itself when this came before `close`. */
  private ended: DeliveryReport | undefined;

  constructor(settings: Settings) {
    this.settings = settings;
    this.runId = settings.resume ?? newRunId(settings.run, this.startedAt);
    this.delivery = openDelivery(settings, (event) => this.receive(event));
  }

  hasSite(name: string): boolean {
    return this.sites.has(name);
  }

  /**
   * Names a site before its first frame; a site that is known already keeps its place.
   * @throws OutlierscopeError when the name stands for a site of another width, is none, or the run has too many sites.
   */
  declareSite(site: Site): void {
    const known = this.sites.get(site.name);
    if (known !== undefined && known.width !== site.width) {
      throw new OutlierscopeError(`${site.name} has width ${site.width}, and was ${known.width} before`, {
        code: 'site-changed',
        hint: 'give each place in the model a name of its own',
      });
    }
    if (known !== undefined) return;
    if (site.name.length === 0 || site.name.length > limits.nameLength) {
      throw new OutlierscopeError(`a site's name has ${site.name.length} characters`, {
        code: 'invalid-site',
        hint: `names have 1 to ${limits.nameLength} characters`,
      });
    }
    if (this.sites.size >= limits.sites) {
      throw new OutlierscopeError(`a run has at most ${limits.sites} sites`, {
        code: 'too-many-sites',
        hint: 'choose some with the option sites',
      });
    }
    this.sites.set(site.name, site);
    if (this.started) this.delivery.post({ kind: 'declare', declare: { type: 'declare', sites: [site], scalars: [] } });
  }

  /** Scalars for the next frame. @throws OutlierscopeError for a name that is the catalogue's own, or a value that is no number. */
  log(scalars: Readonly<Record<string, number>>): void {
    for (const [name, value] of Object.entries(scalars)) {
      const own = frameScalars.some(
        (scalar) => scalar.name === name && name !== 'gradient_norm' && name !== 'learning_rate',
      );
      if (own || typeof value !== 'number' || name.length === 0 || name.length > limits.nameLength) {
        throw new OutlierscopeError(`cannot log ${JSON.stringify(name)} = ${String(value)}`, {
          code: 'invalid-scalar',
          hint: 'give numbers under names of your own',
        });
      }
      this.logged[name] = value;
    }
  }

  /** Hands over alerts and warnings that have come by now. */
  poll(): void {
    this.delivery.poll();
  }

  /** Makes a frame of a step and hands it to delivery. */
  record(measurement: StepMeasurement): void {
    const scalars = { ...this.logged, ...measurement.scalars };
    this.logged = {};
    if (measurement.sites.size > 0) this.latest = { ...measurement, scalars };
    for (const name of Object.keys(scalars)) this.declareScalar(name);
    if (!this.started) {
      this.started = true;
      const { sites } = measurement;
      this.metrics = this.settings.metrics.filter((name) => sites.size === 0 || !isAbsent(name, sites));
      const beginning = this.settings.resume === undefined ? 'fresh' : 'resumed';
      this.delivery.post({ kind: 'start', hello: this.hello(), beginning });
    }
    const frame = this.frame({ ...measurement, scalars });
    this.delivery.post({ kind: 'frame', sequence: frame.sequence, bytes: encodeFrame(frame, this.metrics.length) });
  }

  /** What was logged after the last sampled step, as a frame without sites. */
  recordLeftover(step: number): void {
    if (this.started && Object.keys(this.logged).length > 0) this.record({ step, scalars: {}, sites: new Map() });
  }

  /** Flushes; resolves at the latest when the deadline is over. */
  close(outcome: 'finished' | 'failed', deadlineMilliseconds: number): Promise<DeliveryReport> {
    this.report ??= new Promise((resolve) => {
      this.closed = resolve;
      if (this.ended !== undefined) resolve(this.ended);
      this.delivery.post({ kind: 'close', outcome, deadlineMilliseconds });
    });
    return this.report;
  }

  private declareScalar(name: string): void {
    if (this.scalars.includes(name)) return;
    if (this.scalars.length >= limits.scalars) {
      if (!this.scalarsAreFull) this.settings.warn(`a run has at most ${limits.scalars} scalars: ${name} is left out`);
      this.scalarsAreFull = true;
      return;
    }
    this.scalars.push(name);
    if (this.started) this.delivery.post({ kind: 'declare', declare: { type: 'declare', sites: [], scalars: [name] } });
  }

  private frame({ step, scalars, sites }: StepMeasurement): Frame {
    const { metrics } = this;
    const { topNeurons: count } = this.settings;
    const names = [...this.sites.keys()];
    const values = absentValues(names.length * metrics.length);
    const indices = new Uint32Array(names.length * count).fill(noNeuron);
    const shares = new Float32Array(names.length * count);
    for (const [row, name] of names.entries()) {
      const measured = sites.get(name);
      for (const [column, metric] of metrics.entries()) {
        const value = measured?.metrics[metric];
        if (value !== undefined) values[row * metrics.length + column] = value;
      }
      for (const [rank, { neuron, share }] of (measured?.topNeurons ?? []).entries()) {
        indices[row * count + rank] = neuron;
        shares[row * count + rank] = share;
      }
    }
    const listed = absentScalars(this.scalars.length);
    for (const [index, name] of this.scalars.entries()) {
      const value = scalars[name];
      if (value !== undefined) listed[index] = value;
    }
    return {
      sequence: this.sequence++,
      step,
      time: Date.now(),
      scalars: listed,
      values,
      topNeurons: { count, indices, shares },
    };
  }

  private hello(): Hello {
    const { run, topNeurons, tags, config, token } = this.settings;
    return {
      type: 'hello',
      protocol: protocolVersion,
      runId: this.runId,
      runName: run,
      catalogue: catalogueVersion,
      startedAt: this.startedAt,
      sites: [...this.sites.values()],
      metrics: [...this.metrics],
      scalars: [...this.scalars],
      topNeurons,
      tags: { ...tags },
      config: { ...config },
      ...(token === undefined ? {} : { token }),
    };
  }

  /** The user's functions are the user's: what they throw is told, and goes no further. */
  private receive(event: DeliveryEvent): void {
    try {
      if (event.kind === 'alert') this.settings.onAlert(event.alert);
      if (event.kind === 'warning') this.settings.warn(event.text);
    } catch (error) {
      console.warn(
        `outlierscope: the option ${event.kind === 'alert' ? 'onAlert' : 'warn'} threw: ${messageOf(error)}`,
      );
    }
    if (event.kind === 'action') this.delivery.post({ kind: 'actionResult', result: refusalOf(event.action) });
    if (event.kind !== 'closed') return;
    this.ended = event.report;
    this.closed(event.report);
  }
}

/** A trainer does only what its user allowed, and there is no action yet that a user could allow. */
function refusalOf({ id, action }: Action): ActionResult {
  return { type: 'actionResult', id, outcome: 'refused', detail: `this trainer does not allow the action ${action}` };
}

/** Columns that no site has would only be empty pages: attention where nothing gives attention, gradients where none are taken. */
function isAbsent(name: SiteMetricName, sites: ReadonlyMap<string, SiteMeasurement>): boolean {
  if (siteMetric(name)?.of === 'activations') return false;
  return ![...sites.values()].some(({ metrics }) => metrics[name] !== undefined);
}

/** Readable, and unique for every start: the run's name, when it began, and 48 random bits. */
function newRunId(name: string, startedAt: number): string {
  const readable = name
    .normalize('NFKD')
    .replace(/[^A-Za-z0-9]+/g, '-')
    .replace(/^-+|-+$/g, '')
    .slice(0, 48);
  const when = new Date(startedAt).toISOString().replace(/[-:]/g, '').replace(/\..*/, '');
  const random = Array.from(crypto.getRandomValues(new Uint8Array(6)), (byte) =>
    byte.toString(16).padStart(2, '0'),
  ).join('');
  return [readable, when, random].filter((part) => part !== '').join('-');
}

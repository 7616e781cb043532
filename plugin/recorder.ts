/**
 * Turns what was measured at sampled steps into frames, and hands them to delivery. Knows nothing of TensorFlow.js.
 */
import { openDelivery } from '#delivery';
import { catalogueVersion, frameScalars, type SiteMetricName } from '../src/catalogue.ts';
import { encodeFrame, type Frame, noNeuron } from '../src/frame.ts';
import { type Hello, protocolVersion, type Site } from '../src/messages.ts';
import type { Delivery, DeliveryEvent, DeliveryReport } from './delivery/delivery.ts';
import type { SiteMeasurement } from './measure/metrics.ts';
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
  private started = false;
  private sequence = 0;
  private report: Promise<DeliveryReport> | undefined;
  private closed: (report: DeliveryReport) => void = () => {};

  constructor(settings: Settings) {
    this.settings = settings;
    this.runId = newRunId(settings.run, this.startedAt);
    this.delivery = openDelivery({ url: settings.url, bufferBytes: settings.bufferBytes }, (event) =>
      this.receive(event),
    );
  }

  /** Names a site before its first frame; a site that is known already keeps its place. */
  declareSite(site: Site): void {
    if (this.sites.has(site.name)) return;
    this.sites.set(site.name, site);
    if (this.started) this.delivery.post({ kind: 'declare', declare: { type: 'declare', sites: [site], scalars: [] } });
  }

  record(measurement: StepMeasurement): void {
    this.latest = measurement;
    for (const name of Object.keys(measurement.scalars)) this.declareScalar(name);
    if (!this.started) {
      this.started = true;
      this.delivery.post({ kind: 'start', hello: this.hello() });
    }
    const frame = this.frame(measurement);
    this.delivery.post({
      kind: 'frame',
      sequence: frame.sequence,
      bytes: encodeFrame(frame, this.settings.metrics.length),
    });
  }

  /** Flushes; resolves at the latest when the deadline is over. */
  close(outcome: 'finished' | 'failed', deadlineMilliseconds: number): Promise<DeliveryReport> {
    this.report ??= new Promise((resolve) => {
      this.closed = resolve;
      this.delivery.post({ kind: 'close', outcome, deadlineMilliseconds });
    });
    return this.report;
  }

  private declareScalar(name: string): void {
    if (this.scalars.includes(name)) return;
    this.scalars.push(name);
    if (this.started) this.delivery.post({ kind: 'declare', declare: { type: 'declare', sites: [], scalars: [name] } });
  }

  private frame({ step, scalars, sites }: StepMeasurement): Frame {
    const { metrics, topNeurons: count } = this.settings;
    const names = [...this.sites.keys()];
    const values = new Float32Array(names.length * metrics.length).fill(Number.NaN);
    const indices = new Uint32Array(names.length * count).fill(noNeuron);
    const shares = new Float32Array(names.length * count);
    for (const [row, name] of names.entries()) {
      const measured = sites.get(name);
      for (const [column, metric] of metrics.entries()) {
        values[row * metrics.length + column] = measured?.metrics[metric as SiteMetricName] ?? Number.NaN;
      }
      for (const [rank, { neuron, share }] of (measured?.topNeurons ?? []).entries()) {
        indices[row * count + rank] = neuron;
        shares[row * count + rank] = share;
      }
    }
    return {
      sequence: this.sequence++,
      step,
      time: Date.now(),
      scalars: Float64Array.from(this.scalars, (name) => scalars[name] ?? Number.NaN),
      values,
      topNeurons: { count, indices, shares },
    };
  }

  private hello(): Hello {
    const { run, metrics, topNeurons, tags, config, token } = this.settings;
    return {
      type: 'hello',
      protocol: protocolVersion,
      runId: this.runId,
      runName: run,
      catalogue: catalogueVersion,
      startedAt: this.startedAt,
      sites: [...this.sites.values()],
      metrics: [...metrics],
      scalars: [...this.scalars],
      topNeurons,
      tags: { ...tags },
      config: { ...config },
      ...(token === undefined ? {} : { token }),
    };
  }

  private receive(event: DeliveryEvent): void {
    if (event.kind === 'alert') this.settings.onAlert(event.alert);
    else if (event.kind === 'warning') this.settings.warn(event.text);
    else this.closed(event.report);
  }
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

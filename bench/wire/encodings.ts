/** The frames of a run in other encodings, as those who use them would send them. Pure. */
import { compressSync } from 'snappy';
import { RequestEncoder } from '../../server/remote-write/protobuf.ts';
import { labelBytes } from '../../server/remote-write/series.ts';
import type { RunRecord } from '../../server/run-record.ts';
import { type Frame, isMeasured } from '../../src/frame.ts';

export interface Sample {
  readonly metric: string;
  /** Null for a scalar. */
  readonly site: string | null;
  readonly value: number;
}

/** What a frame measured, with names. */
export function samplesOf({ values, scalars }: Frame, { description }: Pick<RunRecord, 'description'>): Sample[] {
  const { sites, metrics } = description;
  const found: Sample[] = [];
  for (const [index, metric] of description.scalars.entries()) {
    if (isMeasured(scalars, index)) found.push({ metric, site: null, value: scalars[index] as number });
  }
  for (let index = 0; index < values.length; index++) {
    if (!isMeasured(values, index)) continue;
    const site = sites[Math.floor(index / metrics.length)]?.name ?? '';
    found.push({ metric: metrics[index % metrics.length] as string, site, value: values[index] as number });
  }
  return found;
}

/** A row as experiment trackers send it: an object with a name for each number. Numbers with as few digits as tell them apart. */
export function jsonRow(runId: string, { step, time }: Frame, samples: readonly Sample[]): Buffer {
  const cells = samples.map(
    ({ metric, site, value }) => `${JSON.stringify(site === null ? metric : `${metric}/${site}`)}:${shortest(value)}`,
  );
  return Buffer.from(`{"run":${JSON.stringify(runId)},"step":${step},"time":${time},${cells.join(',')}}`);
}

/** The frame itself as JSON, names sent once as in ours: lists of numbers, top neurons included. */
export function jsonFrame(frame: Frame): Buffer {
  const { sequence, step, time, scalars, values, topNeurons } = frame;
  const list = (array: Float32Array | Float64Array): string =>
    `[${Array.from(array, (value, index) => (isMeasured(array, index) ? shortest(value) : 'null')).join(',')}]`;
  const parts = [`${sequence},${step},${time}`, list(scalars), list(values)];
  return Buffer.from(`[${[...parts, `[${topNeurons.indices.join(',')}]`, list(topNeurons.shares)].join(',')}]`);
}

/** As few digits as give the same float32 again; what is no float32 in full. */
export function shortest(value: number): string {
  if (!Number.isFinite(value)) return JSON.stringify(String(value));
  if (Math.fround(value) !== value) return String(value);
  for (let digits = 1; digits < 9; digits++) {
    const text = String(Number(value.toPrecision(digits)));
    if (Math.fround(Number(text)) === value) return text;
  }
  return String(Number(value.toPrecision(9)));
}

/** A client's message in a websocket frame: with mask, without compression (RFC 6455, section 5.2). */
export function framedBytes(payload: number): number {
  return payload + 4 + (payload < 126 ? 2 : payload < 65_536 ? 4 : 10);
}

/** Prometheus remote write 1.0: a series for each name and site, with its samples of all these frames, compressed with snappy. */
export function remoteWrite(
  runId: string,
  frames: readonly { readonly time: number; readonly samples: readonly Sample[] }[],
): Buffer {
  const series = new Map<
    string,
    { readonly labels: Uint8Array; readonly values: number[]; readonly times: number[] }
  >();
  for (const { time, samples } of frames) {
    for (const { metric, site, value } of samples) {
      const key = `${metric} ${site}`;
      const labels = { run: runId, ...(site === null ? {} : { site }) };
      const found = series.get(key) ?? { labels: labelBytes(`outlierscope_${metric}`, labels), values: [], times: [] };
      series.set(key, found);
      found.values.push(value);
      found.times.push(Math.round(time));
    }
  }
  const encoder = new RequestEncoder();
  for (const { labels, values, times } of series.values()) encoder.add(labels, values, times);
  return compressSync(Buffer.from(encoder.bytes));
}

/**
 * The samples of a request that was refused, for finding the ones that the receiver does not take: receivers name none, and Prometheus
 * keeps nothing of a request in which one sample is out of order. Pure.
 */
import { RequestEncoder } from './protobuf.ts';

/** A sample in an encoded request. */
export interface SampleInRequest {
  /** The series' labels; the same object for all samples of a series. */
  readonly labels: Uint8Array;
  readonly bytes: Uint8Array;
  readonly time: number;
}

/** The samples of a request that our own encoder made: each series has its labels first, then its samples. */
export function samplesOf(request: Uint8Array): SampleInRequest[] {
  const samples: SampleInRequest[] = [];
  for (let at = 0; at < request.length; ) {
    const series = fieldAt(request, at);
    at = series.end;
    let samplesAt = series.start;
    while (samplesAt < series.end && request[samplesAt] === 0x0a) samplesAt = fieldAt(request, samplesAt).end;
    const labels = request.subarray(series.start, samplesAt);
    while (samplesAt < series.end) {
      const { end } = fieldAt(request, samplesAt);
      // Tag and length, tag and value, tag: then the time.
      samples.push({ labels, bytes: request.subarray(samplesAt, end), time: varintAt(request, samplesAt + 12).value });
      samplesAt = end;
    }
  }
  return samples;
}

/** Two halves, the older one first: by time, or within one time by place. Of one sample there are none. */
export function halve(samples: readonly SampleInRequest[]): [SampleInRequest[], SampleInRequest[]] | undefined {
  if (samples.length < 2) return undefined;
  const times = [...new Set(samples.map((sample) => sample.time))].sort((one, other) => one - other);
  const middle = times[times.length >> 1] as number;
  if (times.length > 1)
    return [samples.filter((sample) => sample.time < middle), samples.filter((sample) => sample.time >= middle)];
  return [samples.slice(0, samples.length >> 1), samples.slice(samples.length >> 1)];
}

/** A request of these samples. */
export function requestOf(
  samples: readonly SampleInRequest[],
  encoder: RequestEncoder = new RequestEncoder(),
): Uint8Array {
  for (let start = 0; start < samples.length; ) {
    const { labels } = samples[start] as SampleInRequest;
    let end = start + 1;
    while (samples[end]?.labels === labels) end += 1;
    encoder.addEncoded(
      labels,
      samples.slice(start, end).map((sample) => sample.bytes),
    );
    start = end;
  }
  return encoder.bytes;
}

/** The bytes inside a length-delimited field. */
function fieldAt(bytes: Uint8Array, at: number): { start: number; end: number } {
  const { value, end } = varintAt(bytes, at + 1);
  return { start: end, end: end + value };
}

function varintAt(bytes: Uint8Array, start: number): { value: number; end: number } {
  let value = 0;
  let scale = 1;
  for (let at = start; ; at++) {
    const byte = bytes[at] as number;
    value += (byte & 0x7f) * scale;
    if (byte < 0x80) return { value, end: at + 1 };
    scale *= 0x80;
  }
}

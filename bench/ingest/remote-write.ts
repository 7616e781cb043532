/**
 * Prometheus remote write 1.0, as far as the benchmark needs it: a WriteRequest with one sample for each series, as Prometheus and
 * vmagent send it, compressed with snappy. https://prometheus.io/docs/specs/prw/remote_write_spec/
 */
import { compressSync } from 'snappy';
import { metrics, runIdOf, samplesPerFrame, siteNameOf, sites } from './workload.ts';

/** The labels of one run's series as bytes of TimeSeries messages, prepared once: they are the same in every request. */
export function seriesLabels(prefix: string, run: number): readonly Uint8Array[] {
  return Array.from({ length: samplesPerFrame }, (_, index) => {
    const site = Math.floor(index / metrics.length);
    const labels: [string, string][] = [
      ['__name__', `outlierscope_${metrics[index % metrics.length]}`],
      ['run', runIdOf(prefix, run)],
      ['site', siteNameOf(site % sites)],
    ];
    return Buffer.concat(labels.map(([name, value]) => field(1, Buffer.concat([text(1, name), text(2, value)]))));
  });
}

/** Writes WriteRequests into one buffer, again and again: the benchmark's encoder must not be what is measured. */
export class RequestEncoder {
  #bytes = Buffer.alloc(1024 * 1024);
  #length = 0;

  /** One series: timeseries = 1 { labels = 1, samples = 2 { value = 1, timestamp = 2 } }. Times are milliseconds since 1970. */
  add(labels: Uint8Array, values: readonly number[], times: readonly number[]): void {
    if (this.#length + labels.length + 32 * (values.length + 1) > this.#bytes.length) {
      this.#bytes = Buffer.concat([this.#bytes, Buffer.alloc(this.#bytes.length)]);
    }
    const sampleLength = 9 + 1 + varintLength(times[0] as number); // the same for all times of our days
    this.#byte(0x0a);
    this.#varint(labels.length + values.length * (2 + sampleLength));
    this.#bytes.set(labels, this.#length);
    this.#length += labels.length;
    for (let index = 0; index < values.length; index++) {
      this.#byte(0x12);
      this.#varint(sampleLength);
      this.#byte(0x09);
      this.#bytes.writeDoubleLE(values[index] as number, this.#length);
      this.#length += 8;
      this.#byte(0x10);
      this.#varint(times[index] as number);
    }
  }

  /** The request so far, compressed; begins the next one. */
  take(): Buffer {
    const body = compressSync(this.#bytes.subarray(0, this.#length));
    this.#length = 0;
    return body;
  }

  #byte(value: number): void {
    this.#bytes[this.#length++] = value;
  }

  #varint(value: number): void {
    let rest = value;
    for (; rest >= 0x80; rest = Math.floor(rest / 0x80)) this.#byte((rest % 0x80) | 0x80);
    this.#byte(rest);
  }
}

function varintLength(value: number): number {
  let length = 1;
  for (let rest = value; rest >= 0x80; rest = Math.floor(rest / 0x80)) length += 1;
  return length;
}

function field(number: number, bytes: Uint8Array): Buffer {
  if (bytes.length > 0x7f) throw new RangeError(`a label of ${bytes.length} bytes is longer than this encoder takes`);
  return Buffer.concat([Uint8Array.of((number << 3) | 2, bytes.length), bytes]);
}

function text(number: number, value: string): Buffer {
  return field(number, Buffer.from(value));
}

/** The process of the clients: takes jobs over IPC, one after the other, and answers each with what the server took. */
import { compressSync } from 'snappy';
import { seededRandom } from '../../cli/demo/batches.ts';
import { RequestEncoder } from '../../server/remote-write/protobuf.ts';
import { prepareSeries } from '../../server/remote-write/series.ts';
import { afterHello } from '../../server/run-record.ts';
import { runFrameLoad } from './frame-load.ts';
import { type PreparedRequest, postHead, runHttpLoad } from './http-load.ts';
import { helloOf, metrics, runIdOf, runs, samplesPerFrame, siteNameOf, timeOf, valuesOf } from './workload.ts';

export type Job = { readonly port: number; readonly milliseconds: number; readonly connections: number } & (
  | { readonly kind: 'frames'; readonly window: number }
  | { readonly kind: 'remote write'; readonly batch: Batch; readonly samples: number }
  | { readonly kind: 'push' }
);

export interface Batch {
  /** Samples of a request. */
  readonly samples: number;
  /** Samples of one series in a request: Prometheus and vmagent send one. */
  readonly depth: number;
}

export interface Taken {
  readonly samples: number;
  readonly seconds: number;
}

const random = seededRandom(1);
const matrices = Array.from({ length: 32 }, () => valuesOf(random));
const labels = Array.from({ length: runs }, (_, run) => {
  return prepareSeries(afterHello(undefined, helloOf(runIdOf('bench', run)), 1), {}).values as readonly Uint8Array[];
});
const start = Date.now() - 24 * 60 * 60 * 1000;
/** Frames that were made for remote write so far: times go on from job to job. */
let made = 0;

process.on('message', async (job: Job) => {
  try {
    process.send?.(await work(job));
  } catch (error) {
    process.send?.({ error: error instanceof Error ? error.message : String(error) });
  }
});

function work(job: Job): Promise<Taken> {
  const { port, connections, milliseconds } = job;
  if (job.kind === 'frames') return runFrameLoad({ port, connections, window: job.window, random }, milliseconds);
  if (job.kind === 'push') {
    const requests = pushRequests(port);
    let next = 0;
    return runHttpLoad({ port, connections, next: () => requests[next++ % requests.length] }, milliseconds);
  }
  const requests = writeRequests(port, job.batch, job.samples);
  let next = 0;
  return runHttpLoad({ port, connections, next: () => requests[next++] }, milliseconds);
}

/** Requests with about that many samples in all: run after run, `depth` frames of it, then the next run. */
function writeRequests(port: number, batch: Batch, total: number): PreparedRequest[] {
  const encoder = new RequestEncoder();
  const requests: PreparedRequest[] = [];
  let samples = 0;
  const finish = (): void => {
    const body = compressSync(Buffer.from(encoder.bytes));
    encoder.clear();
    const headers = ['Content-Encoding: snappy', 'Content-Type: application/x-protobuf'];
    requests.push({ bytes: [postHead('/api/v1/write', port, body.length, headers), body], samples });
    samples = 0;
  };
  for (let done = 0; done < total; made += batch.depth) {
    const times = Array.from({ length: batch.depth }, (_, place) => timeOf(start, made + place));
    for (let run = 0; run < runs && done < total; run++) {
      for (let series = 0; series < samplesPerFrame; series++) {
        const values = times.map(
          (_, place) => (matrices[(made + place + run) % matrices.length] as Float32Array)[series],
        );
        encoder.add((labels[run] as readonly Uint8Array[])[series] as Uint8Array, values as number[], times);
        samples += batch.depth;
        done += batch.depth;
        if (samples >= batch.samples) finish();
      }
    }
  }
  return requests;
}

/** A PUT of each run's latest values, as a trainer would push them. */
function pushRequests(port: number): PreparedRequest[] {
  return Array.from({ length: runs }, (_, run) => {
    const values = matrices[run % matrices.length] as Float32Array;
    const lines = metrics.flatMap((metric, column) => [
      `# TYPE outlierscope_${metric} gauge`,
      ...Array.from({ length: values.length / metrics.length }, (_, site) => {
        const value = values[site * metrics.length + column];
        return `outlierscope_${metric}{site="${siteNameOf(site)}"} ${value}`;
      }),
    ]);
    const body = Buffer.from(`${lines.join('\n')}\n`);
    const path = `/metrics/job/outlierscope/run/${runIdOf('bench', run)}`;
    return { bytes: [postHead(path, port, body.length, []), body], samples: samplesPerFrame };
  });
}

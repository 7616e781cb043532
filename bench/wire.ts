/**
 * How many bytes a number takes on its way to the server.
 *
 * The demo's GPT is trained with the monitor, every step sampled, against a server of its own; a proxy between them counts every byte
 * of the trainer's, from the HTTP upgrade to the goodbye: the names that are sent once, framing, top neurons. The frames are then read
 * back from the server's database and encoded as others would send them. Of those only the bodies count, in websocket frames where
 * they would be: no handshake, no HTTP headers, no top neurons in rows and remote write.
 */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { openReadOnlyStore } from '../server/read-only-store.ts';
import type { RunRecord } from '../server/run-record.ts';
import type { Frame } from '../src/frame.ts';
import type { Bench, Result, Setting } from './support/bench.ts';
import { built } from './support/built.ts';
import { startServe } from './support/serve.ts';
import { demoTraining } from './support/training.ts';
import { startCountingProxy } from './wire/counting-proxy.ts';
import { framedBytes, jsonFrame, jsonRow, remoteWrite, samplesOf } from './wire/encodings.ts';

const lengths = { full: 60, quick: 3 } as const;
/** What a remote-write client that waits for more samples gains. */
const batchedFrames = 10;

export const wire: Bench = {
  name: 'wire',
  description: 'bytes a sample on the wire: this protocol, JSON, remote write with snappy',
  requirements: [
    { figure: 'bytes_per_sample', must: 'below', other: 'json_bytes_per_sample' },
    { figure: 'bytes_per_sample', must: 'below', other: 'remote_write_bytes_per_sample' },
  ],
  run: measure,
};

interface Recording {
  readonly run: RunRecord;
  readonly frames: readonly Frame[];
  readonly toServer: number;
  readonly toTrainer: number;
}

async function measure({ length, progress }: Setting): Promise<Result> {
  const folder = mkdtempSync(join(tmpdir(), 'outlierscope-wire-'));
  const database = join(folder, 'runs.db');
  const { server, port } = await startServe(database);
  try {
    return evaluate(await record(port, database, lengths[length], progress));
  } finally {
    await server.stop();
    rmSync(folder, { recursive: true });
  }
}

async function record(
  port: number,
  database: string,
  steps: number,
  progress: Setting['progress'],
): Promise<Recording> {
  const proxy = await startCountingProxy(port);
  try {
    const { outlierMonitor } = await built<typeof import('../plugin/index.ts')>('plugin/index.js');
    const { train } = await built<typeof import('../cli/demo/train.ts')>('cli/demo/train.js');
    const { model, settings } = await demoTraining();
    const monitor = outlierMonitor({ url: `ws://127.0.0.1:${proxy.port}`, run: 'wire', every: 1 });
    await train(model, settings, {
      steps,
      seed: 1,
      monitor,
      onStep: ({ step }) => {
        if (step % 10 === 0) progress(`step ${step} of ${steps}`);
      },
    });
    const { delivered } = await monitor.close();
    const store = openReadOnlyStore(database);
    const frames: Frame[] = [];
    const all = { from: 0, to: Number.MAX_SAFE_INTEGER, lastSequence: Number.MAX_SAFE_INTEGER };
    for await (const page of store.frames(monitor.runId, all)) frames.push(...page.map(({ frame }) => frame));
    const run = (await store.runs()).find(({ id }) => id === monitor.runId);
    await store.close();
    if (run === undefined || frames.length === 0 || frames.length !== delivered)
      throw new Error(`${delivered} frames were delivered, ${frames.length} are in the store`);
    return { run, frames, ...proxy.counted };
  } finally {
    await proxy.stop();
  }
}

function evaluate({ run, frames, toServer, toTrainer }: Recording): Result {
  const measured = frames.map((frame) => ({ frame, time: frame.time, samples: samplesOf(frame, run) }));
  const samples = sum(measured.map((each) => each.samples.length));
  const perSample = (bytes: readonly number[]): number => sum(bytes) / samples;
  const batches = Array.from({ length: Math.ceil(frames.length / batchedFrames) }, (_, index) =>
    measured.slice(index * batchedFrames, (index + 1) * batchedFrames),
  );
  return {
    figures: {
      bytes_per_sample: toServer / samples,
      json_bytes_per_sample: perSample(
        measured.map((each) => framedBytes(jsonRow(run.id, each.frame, each.samples).length)),
      ),
      remote_write_bytes_per_sample: perSample(measured.map((each) => remoteWrite(run.id, [each]).length)),
      json_names_once_bytes_per_sample: perSample(frames.map((frame) => framedBytes(jsonFrame(frame).length))),
      remote_write_batched_bytes_per_sample: perSample(batches.map((batch) => remoteWrite(run.id, batch).length)),
    },
    intervals: {},
    details: {
      frames: frames.length,
      samples_per_frame: samples / frames.length,
      sites: run.description.sites.length,
      metrics: run.description.metrics.length,
      top_neurons_bytes_per_sample: perSample(frames.map(({ topNeurons }) => 8 * topNeurons.indices.length)),
      answers_bytes_per_sample: toTrainer / samples,
      bytes_per_sample: 'all that the trainer sent: upgrade, hello, frames with top neurons, bye',
      json_bytes_per_sample: 'an object a frame, with a name for each number; no top neurons',
      json_names_once_bytes_per_sample: 'lists of numbers, names and handshake not counted; with top neurons',
      remote_write_bytes_per_sample: 'a request a frame, bodies only; no top neurons',
      remote_write_batched_bytes_per_sample: `${batchedFrames} frames a request`,
    },
  };
}

function sum(values: readonly number[]): number {
  return values.reduce((total, value) => total + value, 0);
}

/** `outlierscope export`: a run of a database, in a format, to where it is wanted. */
import { join } from 'node:path';
import { openReadOnlyStore, type ReadOnlyStore } from '../../server/read-only-store.ts';
import { OutlierscopeError } from '../../src/errors.ts';
import type { Frame } from '../../src/frame.ts';
import { createProgress, type ProgressStep } from '../progress.ts';
import { csv } from './csv.ts';
import { findRun } from './find-run.ts';
import type { ExportFile, Format, Source } from './format.ts';
import { jsonl } from './jsonl.ts';
import { isFolder, writeToFile, writeToStream } from './output.ts';
import { parquet } from './parquet.ts';
import { type Filter, select } from './selection.ts';
import { tensorboard } from './tensorboard.ts';

export const formats = { csv, jsonl, parquet, tensorboard } as const satisfies Record<string, Format>;

export interface ExportRequest {
  readonly run: string;
  readonly format: keyof typeof formats;
  readonly database: string;
  /** `-` is standard output. */
  readonly output: string;
  readonly filter: Filter;
  readonly from: number;
  readonly to: number;
  readonly signal: AbortSignal;
}

/** @throws OutlierscopeError for a database, run, column or output that is not to be had. */
export async function runExport(request: ExportRequest): Promise<void> {
  const format: Format = formats[request.format];
  const store = openReadOnlyStore(request.database);
  try {
    const run = findRun(await store.runs(), request.run);
    // Frames that arrive meanwhile are left out: all files end with the same one.
    const range = { from: request.from, to: request.to, lastSequence: run.progress.lastSequence };
    const alerts = await store.alerts({ runId: run.id, limit: Number.MAX_SAFE_INTEGER });
    const source = (step: ProgressStep, total: number): Source => ({
      run,
      selection: select(run.description, request.filter),
      frames: () => counted(store.frames(run.id, range), step, total),
      alerts: alerts.toReversed(),
    });
    const total = await store.countFrames(run.id, range);
    await write(request, format, (step) => source(step, total));
  } finally {
    await store.close();
  }
}

async function write(
  { format: name, output, signal }: ExportRequest,
  format: Format,
  source: (step: ProgressStep) => Source,
): Promise<void> {
  const progress = createProgress(process.stderr, process.env);
  const quiet: ProgressStep = { update() {}, log() {}, done() {}, fail() {} };
  const { single } = format;

  if (output === '-') {
    if (single === null) throw noStream(`${name} is a folder of files`);
    if (format.content === 'binary' && process.stdout.isTTY) throw noStream(`${name} is not for a terminal`);
    process.stdout.on('error', () => {}); // Told by the write that it belongs to.
    const step = process.stdout.isTTY ? quiet : progress.step('exporting to standard output');
    const outcome = await writeToStream(single(source(step)).pieces, process.stdout, signal);
    step.done(outcome === 'written' ? undefined : 'stopped: nobody reads on');
    return;
  }
  const toFile = async (path: string, choose: (source: Source) => ExportFile): Promise<void> => {
    const step = progress.step(path);
    try {
      const bytes = await writeToFile(path, choose(source(step)).pieces, signal);
      step.done(size(bytes));
    } catch (error) {
      step.fail();
      throw error;
    }
  };
  if (single !== null && !isFolder(output)) return toFile(output, single);
  const names = format.all(source(quiet)).map((file) => file.name);
  for (const [index, file] of names.entries())
    await toFile(join(output, file), (from) => format.all(from)[index] as ExportFile);
}

async function* counted(pages: ReturnType<ReadOnlyStore['frames']>, step: ProgressStep, total: number) {
  let done = 0;
  for await (const page of pages) {
    for (const { frame } of page) {
      yield frame satisfies Frame;
      done++;
      step.update(total === 0 ? 1 : done / total, `${done} of ${total} frames`);
    }
    // A turn for signals: reading and writing may both be synchronous.
    await new Promise((resolve) => setImmediate(resolve));
  }
}

function noStream(what: string): OutlierscopeError {
  return new OutlierscopeError(what, { code: 'no-output', hint: 'say where it goes with --output' });
}

function size(bytes: number): string {
  return bytes < 1e6 ? `${Math.ceil(bytes / 1e3)} kB` : `${(bytes / 1e6).toFixed(1)} MB`;
}

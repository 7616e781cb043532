/** A server with a run of hard cases, and the command line beside it. */
import { execFile } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join as joinPath, resolve } from 'node:path';
import { type RunningServer, startServer } from '../../server/index.ts';
import { absentScalars, absentValues, type Frame } from '../../src/frame.ts';
import type { Hello } from '../../src/messages.ts';
import { frameOf, helloOf, join, site, type Trainer } from '../server/trainer.ts';

export const main: string = resolve(import.meta.dirname, '../../dist/cli/main.js');

export interface Outcome {
  readonly code: number;
  readonly stdout: Buffer;
  readonly stderr: string;
}

/** Runs the built command line. */
export function outlierscope(...args: string[]): Promise<Outcome> {
  return new Promise((done) => {
    const options = { encoding: 'buffer' as const, maxBuffer: 256 * 1024 * 1024 };
    execFile(process.execPath, [main, ...args], options, (error, stdout, stderr) => {
      done({ code: error === null ? 0 : Number(error.code), stdout, stderr: stderr.toString() });
    });
  });
}

export interface Exporting {
  readonly folder: string;
  readonly database: string;
  readonly server: RunningServer;
  /** Trains a run and leaves it connected. */
  train(hello: Hello, frames: readonly Frame[]): Promise<Trainer>;
  stop(): Promise<void>;
}

export async function startExporting(): Promise<Exporting> {
  const folder = mkdtempSync(joinPath(tmpdir(), 'outlierscope-export-'));
  const database = joinPath(folder, 'runs.db');
  const server = await startServer({ port: 0, database });
  return {
    folder,
    database,
    server,
    async train(hello, frames) {
      const trainer = await join(server.url, hello);
      for (const frame of frames) trainer.sendFrame(frame, hello.metrics.length);
      const last = frames.at(-1);
      if (last !== undefined) await trainer.acknowledged(last.sequence);
      return trainer;
    },
    async stop() {
      await server.close();
      rmSync(folder, { recursive: true });
    },
  };
}

/** Names that a quoting, a spreadsheet or a file system could stumble over. */
export const hostile = ["=cmd|'/C calc'!A0", 'a,"b"\r\nc', '../../escape', '+1', '__proto__', 'naïve 📈'] as const;

export const hostileHello: Hello = helloOf('run-hostile', {
  runName: 'name, "quoted"',
  sites: [site('h0/residual'), site(hostile[0]), site(hostile[1]), site(hostile[4])],
  metrics: ['kurtosis', hostile[3]],
  scalars: ['loss', hostile[5]],
});

/**
 * Three frames: everything measured; NaN, infinities, -0 and absent ones; fewer sites and scalars, at the same step.
 * 1,700,000,000,000 ms is 2023-11-14T22:13:20Z.
 */
export function hostileFrames(): Frame[] {
  const values = absentValues(8);
  values.set([Number.NaN, Number.POSITIVE_INFINITY, Number.NEGATIVE_INFINITY, -0]);
  const scalars = absentScalars(2);
  scalars[1] = Number.NaN;
  const topNeurons = { count: 0, indices: new Uint32Array(), shares: new Float32Array() };
  return [
    frameOf(0, { values: [1.5, 0.1, 2, 3, 4, 5, 6, 1e-30], scalars: [2.5, 1e300] }),
    { ...frameOf(3, { step: 30 }), values, scalars, topNeurons },
    { ...frameOf(4, { step: 30, values: [7, 8] }), scalars: Float64Array.of(0.1), topNeurons },
  ];
}

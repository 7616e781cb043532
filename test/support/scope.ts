/** `outlierscope serve` as a process of its own, and trainers beside it: what tests kill, freeze and start again. */
import { fileURLToPath } from 'node:url';
import type { DeliveryReport } from '../../plugin/delivery/delivery.ts';
import type { LoadSettings } from '../plugin/delivery/load-trainer.ts';
import { type RunningProcess, startProcess } from './process.ts';

const root = fileURLToPath(new URL('../..', import.meta.url));

/** How often the tests that kill things do it: `npm run test:long` asks for more. */
export const rounds = Number(process.env['OUTLIERSCOPE_TEST_ROUNDS'] ?? 5);

export interface Scope {
  readonly url: string;
  /** As trainers write it. */
  readonly socketUrl: string;
  readonly process: RunningProcess;
}

/** @param flags More of `outlierscope serve`. */
export async function startScope(database: string, port = 0, flags: readonly string[] = []): Promise<Scope> {
  const process_ = await startProcess({
    name: 'outlierscope serve',
    command: process.execPath,
    args: [`${root}/dist/cli/main.js`, 'serve', '--port', String(port), '--database', database, ...flags],
    readyLine: /serves http/,
  });
  const url = /serves (\S+)/.exec(process_.output())?.[1] ?? '';
  return { url, socketUrl: url.replace(/^http/, 'ws'), process: process_ };
}

/** `fileBlocks`: what the shell's `ulimit -f` says; no file of the trainer grows beyond. */
export function startTrainer(settings: LoadSettings, fileBlocks?: number): Promise<RunningProcess> {
  const program = [
    process.execPath,
    '--import',
    'tsx',
    'test/plugin/delivery/load-trainer.ts',
    JSON.stringify(settings),
  ];
  const limit = fileBlocks === undefined ? '' : `ulimit -f ${fileBlocks}; `;
  return startProcess({
    name: `trainer ${settings.runId}`,
    command: 'sh',
    args: ['-c', `${limit}exec "$@"`, 'sh', ...program],
    cwd: root,
    readyLine: 'trains',
  });
}

/** What a trainer's close reported. */
export async function reportOf(trainer: RunningProcess): Promise<DeliveryReport> {
  await trainer.exited;
  const report = /^report (.*)$/m.exec(trainer.output())?.[1];
  if (report === undefined) throw new Error(`${trainer.name} did not report:\n${trainer.output()}`);
  return JSON.parse(report) as DeliveryReport;
}

export async function kill({ pid, exited }: RunningProcess): Promise<void> {
  process.kill(pid, 'SIGKILL');
  await exited;
}

export interface StoredRun {
  readonly state: string;
  readonly frames: number;
  readonly dropped: number;
  /** The step of each frame, as stored. */
  readonly steps: readonly number[];
}

/** What the server has of a run; every frame is asked for. */
export async function storedRun(url: string, runId: string): Promise<StoredRun> {
  const read = async (path: string): Promise<Record<string, unknown>> => {
    const response = await fetch(`${url}/api/runs/${runId}${path}`);
    if (!response.ok) throw new Error(`${response.status} for ${path}: ${await response.text()}`);
    return (await response.json()) as Record<string, unknown>;
  };
  const { state, frames, dropped } = await read('');
  const { steps } = await read('/series?metric=kurtosis&points=10000');
  return { state, frames, dropped, steps } as StoredRun;
}

export const upTo = (count: number): number[] => Array.from({ length: count }, (_, index) => index);

/** A run that goes on in a new process: its frames are numbered behind what the server has, whenever they were made. */
import { mkdtempSync, readdirSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, test, vi } from 'vitest';
import { resolveOptions } from '../../../plugin/options.ts';
import { freePort, type RunningProcess } from '../../support/process.ts';
import { kill, reportOf, type Scope, startScope, startTrainer } from '../../support/scope.ts';

let folder: string;
let spool: string;
let scope: Scope;
let trainers: RunningProcess[];
beforeEach(async () => {
  folder = mkdtempSync(join(tmpdir(), 'outlierscope-resume-'));
  spool = join(folder, 'spool');
  trainers = [];
  scope = await startScope(join(folder, 'runs.db'), await freePort());
});
afterEach(async () => {
  await Promise.all(trainers.map((trainer) => trainer.stop()));
  await scope.process.stop();
  rmSync(folder, { recursive: true, force: true });
});

const train = async (settings: Partial<Parameters<typeof startTrainer>[0]>): Promise<RunningProcess> => {
  const trainer = await startTrainer({ runId: 'run', url: scope.socketUrl, ...settings });
  trainers.push(trainer);
  return trainer;
};
const port = (): number => Number(new URL(scope.url).port);
const down = async (): Promise<() => Promise<void>> => {
  const at = port();
  await scope.process.stop();
  return async () => {
    scope = await startScope(join(folder, 'runs.db'), at);
  };
};
interface Stored {
  readonly frames: number;
  readonly latest: { readonly sequence: number; readonly step: number } | null;
}
const stored = async (): Promise<Stored> => (await (await fetch(`${scope.url}/api/runs/run`)).json()) as Stored;

test('frames of the new process follow those of the old one', async () => {
  expect(await reportOf(await train({ frames: 100 }))).toMatchObject({ delivered: 100 });
  expect(await reportOf(await train({ frames: 50, beginning: 'resumed' }))).toMatchObject({
    accepted: 50,
    delivered: 50,
  });
  expect(await stored()).toMatchObject({ frames: 150, latest: { sequence: 149, step: 49 } });
});

test('frames that were made before the server could be asked are numbered when it can', async () => {
  expect(await reportOf(await train({ frames: 100 }))).toMatchObject({ delivered: 100 });
  const up = await down();
  const trainer = await train({ frames: 80, beginning: 'resumed', pauseMilliseconds: 0 });
  await up();
  expect(await reportOf(trainer)).toMatchObject({ accepted: 80, delivered: 80 });
  expect(await stored()).toMatchObject({ frames: 180, latest: { sequence: 179 } });
});

test('a crash before the server was asked leaves frames to the next start, which sends them before its own', async () => {
  expect(await reportOf(await train({ frames: 100 }))).toMatchObject({ delivered: 100 });
  const up = await down();
  const ended = await reportOf(await train({ frames: 60, beginning: 'resumed', spool, deadlineMilliseconds: 200 }));
  expect(ended).toMatchObject({ safe: 60 });
  await up();
  const next = await reportOf(await train({ frames: 30, beginning: 'resumed', spool }));
  expect(next).toMatchObject({ accepted: 30, delivered: 30, recovered: 60 });
  expect(await stored()).toMatchObject({ frames: 190, latest: { sequence: 189, step: 29 } });
  expect(readdirSync(spool)).toEqual([]);
});

test('a crash in the middle of sending leaves nothing twice and nothing out', async () => {
  expect(await reportOf(await train({ frames: 100 }))).toMatchObject({ delivered: 100 });
  const crashed = await train({ beginning: 'resumed', spool });
  await vi.waitFor(async () => expect((await stored()).frames).toBeGreaterThan(200), 30_000);
  process.kill(scope.process.pid, 'SIGSTOP');
  await new Promise((resolve) => setTimeout(resolve, 300)); // frames that are on their way and not acknowledged
  await kill(crashed);
  process.kill(scope.process.pid, 'SIGCONT');
  const next = await reportOf(await train({ frames: 30, beginning: 'resumed', spool }));
  expect(next).toMatchObject({ delivered: 30 });
  const { frames, latest } = await stored();
  expect(frames).toBeGreaterThan(330);
  // No gap, nothing twice: as many frames as numbers.
  expect(latest).toMatchObject({ sequence: frames - 1, step: 29 });
  const { steps } = (await (await fetch(`${scope.url}/api/runs/run/series?metric=kurtosis&points=10000`)).json()) as {
    steps: number[];
  };
  const crashedFrames = frames - 130;
  const expected = [100, crashedFrames, 30].flatMap((count) => Array.from({ length: count }, (_, step) => step));
  expect(steps).toEqual(expected.sort((a, b) => a - b));
});

test('a run that goes on cannot be recorded, and an id must be one', () => {
  expect(() => resolveOptions({ resume: 'run', record: 'file' }, {})).toThrow(/resume: .*leave record or resume out/);
  expect(() => resolveOptions({ resume: 'no such/id' }, {})).toThrow(
    /resume: no run has such an id, received "no such\/id"/,
  );
  expect(resolveOptions({ record: 'file' }, {}).url).toBeUndefined();
  expect(resolveOptions({ record: 'file' }, { OUTLIERSCOPE_URL: 'ws://a:1' }).url).toBe('ws://a:1');
});

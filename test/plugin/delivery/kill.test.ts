/** Trainers and servers are killed under load: what was acknowledged is stored once, and what was safe or accepted arrives. */
import { mkdtempSync, readdirSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterEach, beforeEach, expect, test, vi } from 'vitest';
import { readRecordedRuns } from '../../../plugin/delivery/recorded-runs.ts';
import { freePort, type RunningProcess } from '../../support/process.ts';
import { kill, reportOf, rounds, type Scope, startScope, startTrainer, storedRun, upTo } from '../../support/scope.ts';

let folder: string;
let scope: Scope | undefined;
let trainers: RunningProcess[];
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'outlierscope-kill-'));
  trainers = [];
});
afterEach(async () => {
  await Promise.all(trainers.map((trainer) => trainer.stop()));
  await scope?.process.stop();
  rmSync(folder, { recursive: true, force: true });
});

/** The highest sequence of each run in the spool. */
function highestSafe(spool: string): Map<string, number> {
  const segments = readdirSync(spool, { recursive: true, encoding: 'utf8' }).filter((name) => name.endsWith('.olr'));
  const recorded = readRecordedRuns(segments.sort().map((name) => join(spool, name)));
  recorded.close();
  return new Map(recorded.runs.map(({ hello, frames }) => [hello.runId, frames.at(-1)?.sequence ?? -1]));
}

test(
  `trainers with a spool, killed ${rounds} times under load: the next start completes what was safe`,
  async () => {
    scope = await startScope(join(folder, 'runs.db'));
    const { url, socketUrl } = scope;
    const spool = join(folder, 'spool');
    const safe = new Map<string, number>();
    for (let round = 0; round < rounds; round++) {
      const ids = [0, 1, 2].map((index) => `round-${round}-${index}`);
      const living = await Promise.all(
        ids.map((runId) => startTrainer({ runId, url: socketUrl, spool, spoolBytes: 4 * 1024 * 1024 })),
      );
      trainers.push(...living);
      await vi.waitFor(async () => {
        for (const id of ids) expect((await storedRun(url, id)).frames).toBeGreaterThan(100);
      }, 30_000);
      // Frozen first, the server leaves frames on their way and in the spool when the trainers die.
      if (round % 2 === 0) process.kill(scope.process.pid, 'SIGSTOP');
      await sleep(200 + 150 * Math.random());
      await Promise.all(living.map(kill));
      for (const [id, sequence] of highestSafe(spool)) if (ids.includes(id)) safe.set(id, sequence);
      process.kill(scope.process.pid, 'SIGCONT');
    }
    const last = await startTrainer({ runId: 'last', url: socketUrl, spool, frames: 10 });
    expect(await reportOf(last)).toMatchObject({ delivered: 10, undelivered: 0, diskFaults: 0 });
    expect(readdirSync(spool)).toEqual([]);
    expect(safe.size).toBeGreaterThan(0);
    for (let round = 0; round < rounds; round++) {
      for (const id of [0, 1, 2].map((index) => `round-${round}-${index}`)) {
        const { frames, steps, dropped } = await storedRun(url, id);
        expect(steps, id).toEqual(upTo(frames)); // each once, none missing
        expect(dropped).toBe(0);
        expect(frames, id).toBeGreaterThan(safe.get(id) ?? -1);
      }
    }
  },
  rounds * 30_000,
);

test(
  `the server, killed ${rounds} times under load from 8 trainers: every accepted frame is stored once`,
  async () => {
    const database = join(folder, 'runs.db');
    const port = await freePort();
    scope = await startScope(database, port);
    const ids = upTo(8).map((index) => `trainer-${index}`);
    const frames = 700 + 250 * rounds;
    trainers = await Promise.all(
      ids.map((runId) =>
        startTrainer({
          runId,
          url: `ws://127.0.0.1:${port}`,
          frames,
          pauseMilliseconds: 4,
          deadlineMilliseconds: 60_000,
        }),
      ),
    );
    const seen = new Map<string, number>();
    for (let round = 0; round < rounds; round++) {
      const { url, process: server } = scope;
      const target = 100 * (round + 1);
      await vi.waitFor(async () => {
        for (const id of ids) expect((await storedRun(url, id)).frames).toBeGreaterThan(target);
      }, 60_000);
      await kill(server);
      scope = await startScope(database, port);
      for (const id of ids) {
        const { steps } = await storedRun(scope.url, id);
        expect(steps, id).toEqual(upTo(steps.length));
        expect(steps.length, id).toBeGreaterThanOrEqual(seen.get(id) ?? 0);
        seen.set(id, steps.length);
      }
    }
    for (const [index, trainer] of trainers.entries()) {
      expect(await reportOf(trainer)).toMatchObject({
        accepted: frames,
        delivered: frames,
        dropped: 0,
        undelivered: 0,
      });
      const stored = await storedRun(scope.url, ids[index] as string);
      expect(stored).toMatchObject({ state: 'finished', frames, dropped: 0 });
      expect(stored.steps).toEqual(upTo(frames));
    }
  },
  60_000 + rounds * 60_000,
);

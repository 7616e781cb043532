/** `outlierscope import`: recordings made without a server arrive in one, once, whatever became of the file. */
import { execFile } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, truncateSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import type { ImportReport } from '../../cli/import/run.ts';
import { type RunningServer, startServer } from '../../server/index.ts';
import { encodeFrame } from '../../src/frame.ts';
import { messagePayload, type RecordedMessage, recordHeader } from '../../src/recording.ts';
import { frameOf, helloOf, join as joinServer } from '../server/trainer.ts';
import { freePort } from '../support/process.ts';
import { reportOf, startTrainer, storedRun, upTo } from '../support/scope.ts';

const main = fileURLToPath(new URL('../../dist/cli/main.js', import.meta.url));
let folder: string;
let server: RunningServer;
beforeEach(async () => {
  folder = mkdtempSync(join(tmpdir(), 'outlierscope-import-'));
  server = await startServer({ port: 0, database: ':memory:' });
});
afterEach(async () => {
  await server.close();
  rmSync(folder, { recursive: true, force: true });
});

interface Ran {
  readonly code: number;
  readonly stdout: string;
  readonly stderr: string;
}
const run = (...args: string[]): Promise<Ran> =>
  new Promise((resolve) => {
    execFile(
      process.execPath,
      [main, 'import', ...args],
      { env: { PATH: process.env['PATH'] } },
      (error, stdout, stderr) =>
        resolve({ code: typeof error?.code === 'number' ? error.code : error === null ? 0 : -1, stdout, stderr }),
    );
  });
const importFiles = (...args: string[]): Promise<Ran> => run('--url', server.url, ...args);
const reported = ({ stdout }: Ran): ImportReport => JSON.parse(stdout) as ImportReport;
const at = (name: string): string => join(folder, name);

/** A recording of a run with these frames, as bytes. */
function recording(runId: string, sequences: readonly number[], outcome?: 'finished' | 'failed', dropped = 0): Buffer {
  const message = (said: RecordedMessage): Uint8Array[] => {
    const payload = messagePayload(said);
    return [recordHeader(said.kind, payload), payload];
  };
  const frames = sequences.flatMap((sequence) => {
    const frame = encodeFrame(frameOf(sequence, { step: sequence }), 2);
    return [recordHeader('frame', frame), frame];
  });
  const bye = outcome === undefined ? [] : message({ kind: 'bye', bye: { type: 'bye', outcome, dropped } });
  return Buffer.concat([...message({ kind: 'hello', hello: helloOf(runId) }), ...frames, ...bye]);
}

test('a run that was recorded without a server is taken in whole, and again changes nothing', async () => {
  const record = at('run.olr');
  const trained = await reportOf(await startTrainer({ runId: 'offline', record, frames: 300, pauseMilliseconds: 0 }));
  expect(trained).toMatchObject({ accepted: 300, delivered: 300, recorded: 300, dropped: 0, undelivered: 0 });
  const first = await importFiles(record);
  expect(first).toMatchObject({ code: 0, stdout: 'offline: 300 of 300 frames taken in, 0 were there; finished\n' });
  expect(first.stderr).toContain('offline'); // progress
  const whole = { state: 'finished', frames: 300, dropped: 0, steps: upTo(300) };
  expect(await storedRun(server.url, 'offline')).toEqual(whole);
  expect((await importFiles(record)).stdout).toBe('offline: 0 of 300 frames taken in, 300 were there; finished\n');
  expect(await storedRun(server.url, 'offline')).toEqual(whole);
});

test('an earlier recording is not touched: the next run takes a free name, and says so', async () => {
  const record = at('run.olr');
  writeFileSync(record, recording('earlier', [0, 1], 'finished'));
  const before = readFileSync(record);
  const trainer = await startTrainer({ runId: 'later', record, frames: 10 });
  await reportOf(trainer);
  expect(trainer.output()).toContain(`this run is recorded in ${at('run-2.olr')}`);
  expect(readFileSync(record)).toEqual(before);
  const both = await importFiles('--json', record, at('run-2.olr'));
  expect(reported(both).runs.map((each) => [each.run, each.taken])).toEqual([
    ['earlier', 2],
    ['later', 10],
  ]);
});

describe('a recording', () => {
  test('that was cut off is taken in up to there; the run fell silent', async () => {
    writeFileSync(at('cut'), recording('cut', upTo(50)));
    truncateSync(at('cut'), readFileSync(at('cut')).length - 10);
    const ran = await importFiles(at('cut'));
    expect(ran.code).toBe(0);
    expect(ran.stdout).toMatch(
      /^cut: 49 of 49 frames taken in, 0 were there; its end is not recorded\nskipped: \d+ bytes/,
    );
    await expect.poll(() => storedRun(server.url, 'cut')).toMatchObject({ state: 'silent', steps: upTo(49) });
  });

  test('with damage in the middle loses the records there, and counts them', async () => {
    const bytes = recording('spoiled', upTo(50), 'failed');
    bytes.fill(0, 4000, 4300);
    writeFileSync(at('spoiled'), bytes);
    const report = reported(await importFiles('--json', at('spoiled')));
    expect(report.skippedBytes).toBeGreaterThan(300);
    const { frames } = report.runs[0] ?? { frames: 0 };
    expect(frames).toBeGreaterThan(45);
    expect(frames).toBeLessThan(50);
    expect(await storedRun(server.url, 'spoiled')).toMatchObject({ state: 'failed', frames });
  });

  test('that counts dropped frames has them counted once', async () => {
    writeFileSync(at('gaps'), recording('gaps', [0, 1, 5], 'finished', 3));
    for (let time = 0; time < 3; time++) {
      await importFiles(at('gaps'));
      await expect.poll(() => storedRun(server.url, 'gaps')).toMatchObject({ state: 'finished', dropped: 3 });
    }
  });

  test('of several runs gives each', async () => {
    writeFileSync(at('two'), Buffer.concat([recording('one', upTo(3), 'finished'), recording('two', upTo(4))]));
    expect(reported(await importFiles('--json', at('two'))).runs).toMatchObject([
      { run: 'one', frames: 3, taken: 3, outcome: 'finished' },
      { run: 'two', frames: 4, taken: 4, outcome: null },
    ]);
  });

  test('that is none is told by name, and does not keep the others out', async () => {
    writeFileSync(at('noise'), Buffer.alloc(100_000, 'OLR1 and noise'));
    writeFileSync(at('empty'), '');
    writeFileSync(at('good'), recording('good', upTo(3), 'finished'));
    const ran = await importFiles('--json', at('noise'), at('empty'), at('missing'), folder, at('good'));
    expect(ran.code).toBe(1);
    for (const name of ['noise', 'empty', 'missing']) expect(ran.stderr).toContain(at(name));
    expect(ran.stderr).toMatch(/noise is no recording: no run found in its 100000 bytes/);
    expect(reported(ran)).toMatchObject({ runs: [{ run: 'good', taken: 3 }] });
    expect(reported(ran).failures).toHaveLength(4);
  });

  test('whose frames its hello does not explain is refused by the server, which says why', async () => {
    const payload = encodeFrame({ ...frameOf(0), values: new Float32Array(6) }, 3);
    writeFileSync(at('wrong'), Buffer.concat([recording('wrong', []), recordHeader('frame', payload), payload]));
    const ran = await importFiles(at('wrong'));
    expect(ran.code).toBe(1);
    expect(ran.stderr).toMatch(/refused run wrong: 4400 malformed frame/);
  });

  test('of a run that is being trained is not taken in: it would take the run over', async () => {
    const trainer = await joinServer(server.url, helloOf('live'));
    writeFileSync(at('live'), recording('live', upTo(3)));
    const ran = await importFiles(at('live'));
    expect(ran).toMatchObject({ code: 1, stderr: expect.stringContaining('run live is being trained right now') });
    expect(trainer.socket.readyState).toBe(trainer.socket.OPEN);
    await trainer.close();
  });
});

test('the token goes along, and is asked for', async () => {
  const guarded = await startServer({ port: 0, database: ':memory:', token: 'open-sesame' });
  writeFileSync(at('run'), recording('run', upTo(3), 'finished'));
  const without = await run('--url', guarded.url, at('run'));
  expect(without).toMatchObject({ code: 1, stderr: expect.stringMatching(/refused run run: 4401/) });
  const with_ = await run('--url', guarded.url, '--token', 'open-sesame', at('run'));
  expect(with_).toMatchObject({ code: 0, stdout: expect.stringContaining('3 of 3') });
  await guarded.close();
});

test('a server that is not there is told after a while', async () => {
  writeFileSync(at('run'), recording('run', upTo(3)));
  const ran = await run('--url', `ws://127.0.0.1:${await freePort()}`, at('run'));
  expect(ran).toMatchObject({ code: 1, stderr: expect.stringMatching(/no server at ws:.*takes the frames/) });
}, 90_000);

test('an address that is none is refused', async () => {
  expect(await run('--url', 'ftp://a', 'file')).toMatchObject({
    code: 1,
    stderr: expect.stringContaining('must be an address'),
  });
});

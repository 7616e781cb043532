/**
 * No call of the monitor waits on delivery. By design: the training thread has no means to. And in the act: with a server that is
 * frozen, and with a worker thread that hangs in the disk, the calls return; were one to wait, these tests would not end.
 */
import { type ChildProcess, execFileSync, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import * as tf from '@tensorflow/tfjs-core';
import { outlierMonitor } from 'outlierscope';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { openDelivery as builtOpenDelivery } from '../../../dist/plugin/delivery/node.js';
import type { DeliveryEvent, DeliveryReport, OpenDelivery } from '../../../plugin/delivery/delivery.ts';
import { readRecordedRuns } from '../../../plugin/delivery/recorded-runs.ts';
import { encodeFrame } from '../../../src/frame.ts';
import { frameOf, helloOf } from '../../server/trainer.ts';
import { describeOn } from '../../support/backends.ts';
import { freePort } from '../../support/process.ts';
import { startScope, storedRun, upTo } from '../../support/scope.ts';

const openDelivery = builtOpenDelivery as OpenDelivery;
const describeCpu = await describeOn('cpu');
let folder: string;
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'outlierscope-waits-'));
});
afterEach(() => rmSync(folder, { recursive: true, force: true }));

describe('the training thread', () => {
  const root = fileURLToPath(new URL('../../..', import.meta.url));

  /** The modules that the training thread loads, with their sources. */
  function modulesOf(entry: string): Map<string, string> {
    const seen = new Map<string, string>();
    const visit = (path: string): void => {
      if (seen.has(path)) return;
      const source = readFileSync(path, 'utf8');
      seen.set(path, source);
      for (const [, name = ''] of source.matchAll(/^(?:import|export)(?! type)[^;]*? from '([^']+)';/gms)) {
        if (name === '#delivery') visit(join(root, 'plugin/delivery/node.ts'));
        else if (name.startsWith('.')) visit(join(dirname(path), name));
      }
    };
    visit(join(root, entry));
    return seen;
  }

  test('has no file, no socket and no process at hand, and nothing that blocks or awaits delivery', () => {
    const modules = modulesOf('plugin/index.ts');
    expect([...modules.keys()].some((path) => path.endsWith('plugin/delivery/node.ts'))).toBe(true);
    expect([...modules.keys()].some((path) => path.endsWith('plugin/delivery/sender.ts'))).toBe(false);
    for (const [path, source] of modules) {
      const imported = [...source.matchAll(/^import(?! type).*? from '(node:[^']+|ws|libsql)'/gms)].map(
        ([, name]) => name,
      );
      expect(
        imported.filter((name) => name !== 'node:worker_threads'),
        path,
      ).toEqual([]);
      expect(source, path).not.toMatch(/Atomics\.wait|\bSync\(.*fs|await .*delivery\b/);
    }
    // What the monitor calls gives nothing that could be awaited.
    expect(modules.get(join(root, 'plugin/delivery/node.ts'))).toMatch(/post\(command: DeliveryCommand\): void/);
  });
});

describeCpu('the calls of the monitor', () => {
  let x: tf.Tensor2D;
  let weight: tf.Variable;
  beforeEach(() => {
    x = tf.ones([4, 8]);
    weight = tf.variable(tf.ones([1, 8]));
  });
  afterEach(() => tf.dispose([x, weight]));

  function train(monitor: ReturnType<typeof outlierMonitor>, steps: number): void {
    const optimizer = tf.train.sgd(1e-3);
    for (let step = 0; step < steps; step++) {
      const loss = () => tf.mean(tf.square(monitor.tap('hidden', tf.mul(x, weight)))) as tf.Scalar;
      optimizer.minimize(loss, false, [weight]);
      monitor.log({ note: step });
      expect(monitor.stepSync()).toBeUndefined();
    }
    optimizer.dispose();
  }

  test('return while the server is frozen, and all arrives when it goes on', async () => {
    const scope = await startScope(join(folder, 'runs.db'));
    const warnings: string[] = [];
    const monitor = outlierMonitor({ url: scope.socketUrl, every: 1, warn: (text) => warnings.push(text) });
    train(monitor, 5);
    await expect.poll(() => storedRun(scope.url, monitor.runId).catch(() => undefined)).toMatchObject({ frames: 5 });
    process.kill(scope.process.pid, 'SIGSTOP');
    train(monitor, 200); // were one of them to wait for the server, this would never end
    const closed = monitor.close({ deadlineMilliseconds: 30_000 });
    process.kill(scope.process.pid, 'SIGCONT');
    expect(await closed).toMatchObject({ accepted: 205, delivered: 205, dropped: 0 });
    expect((await storedRun(scope.url, monitor.runId)).steps).toEqual(upTo(205));
    expect(warnings).toEqual([]);
    await scope.process.stop();
  });

  test('return while there is no server; that is told once, and the report says what came of the frames', async () => {
    const warnings: string[] = [];
    const url = `ws://127.0.0.1:${await freePort()}`;
    const monitor = outlierMonitor({ url, every: 1, warn: (text) => warnings.push(text) });
    train(monitor, 50);
    await expect.poll(() => warnings.length).toBe(1);
    train(monitor, 50);
    expect(await monitor.close({ deadlineMilliseconds: 1500 })).toMatchObject({
      accepted: 100,
      delivered: 0,
      dropped: 0,
      undelivered: 100,
      safe: 0,
    });
    expect(warnings).toEqual([expect.stringMatching(/no server at .*; training goes on/)]);
    expect(monitor.faults).toBe(0);
  });

  test('write a recording without any server, and say what is in it', async () => {
    const record = join(folder, 'run.olr');
    const monitor = outlierMonitor({ record, every: 1 });
    train(monitor, 30);
    expect(await monitor.close()).toMatchObject({
      accepted: 30,
      delivered: 30,
      recorded: 30,
      undelivered: 0,
      diskFaults: 0,
    });
    const recorded = readRecordedRuns([record]);
    recorded.close();
    expect(recorded.runs).toMatchObject([{ hello: { runId: monitor.runId }, bye: { outcome: 'finished' } }]);
    expect(recorded.runs[0]?.frames.map(({ sequence }) => sequence)).toEqual(upTo(30));
  });
});

describe('a worker thread that hangs in the disk', () => {
  const frameBytes = encodeFrame(frameOf(0), 2).byteLength;
  const bufferBytes = 500 * frameBytes;
  let reader: ChildProcess | undefined;
  let pipe: string;
  beforeEach(() => {
    pipe = join(folder, 'pipe');
    execFileSync('mkfifo', [pipe]); // opening it hangs until somebody reads
  });
  const letGo = (): Promise<unknown> => {
    reader = spawn('sh', ['-c', 'exec cat "$0" > "$1"', pipe, join(folder, 'read.olr')], { stdio: 'ignore' });
    return once(reader, 'exit');
  };
  afterEach(() => reader?.kill());

  function post(frames: number, deadlineMilliseconds: number): { warnings: string[]; closed: Promise<DeliveryReport> } {
    const warnings: string[] = [];
    const settings = { url: undefined, token: undefined, bufferBytes, spool: undefined, spoolBytes: 0, record: pipe };
    let resolve: (report: DeliveryReport) => void = () => {};
    const closed = new Promise<DeliveryReport>((done) => {
      resolve = done;
    });
    const delivery = openDelivery(settings, (event: DeliveryEvent) => {
      if (event.kind === 'warning') warnings.push(event.text);
      if (event.kind === 'closed') resolve(event.report);
    });
    delivery.post({ kind: 'start', hello: helloOf('stuck'), beginning: 'fresh' });
    for (let sequence = 0; sequence < frames; sequence++) {
      expect(delivery.post({ kind: 'frame', sequence, bytes: encodeFrame(frameOf(sequence), 2) })).toBeUndefined();
    }
    delivery.post({ kind: 'close', outcome: 'finished', deadlineMilliseconds });
    return { warnings, closed };
  }

  test('holds up no call; what waits for it is bounded, the rest is counted', async () => {
    const { warnings, closed } = post(5000, 20_000);
    const allRead = letGo();
    const report = await closed;
    await allRead;
    expect(report).toMatchObject({ accepted: 5000, delivered: 500, dropped: 4500, undelivered: 0, recorded: 500 });
    expect(warnings).toEqual([expect.stringMatching(/held up.*dropped/)]);
    const recorded = readRecordedRuns([join(folder, 'read.olr')]);
    recorded.close();
    expect(recorded.runs[0]?.frames.map(({ sequence }) => sequence)).toEqual(upTo(500));
    expect(recorded.runs[0]?.bye).toEqual({ type: 'bye', outcome: 'finished', dropped: 4500 });
  });

  test('does not hold up close beyond its deadline', async () => {
    const { warnings, closed } = post(5000, 0);
    expect(await closed).toMatchObject({ accepted: 5000, delivered: 0, dropped: 4500, undelivered: 500 });
    expect(warnings.at(-1)).toMatch(/does not answer/);
    await letGo(); // the thread ends when the disk answers
  });
});

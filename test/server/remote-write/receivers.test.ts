/** Real receivers have what the store has: every number at its own time, under the names of /metrics, and a run's end. */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join as joinPath } from 'node:path';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { type RunningServer, type ServerOptions, startServer } from '../../../server/index.ts';
import { absentScalars, absentValues, type Frame } from '../../../src/frame.ts';
import { requireComponents } from '../../support/require-components.ts';
import { frameOf, helloOf, join, site, type Trainer } from '../trainer.ts';
import { countOf, expectSame, keyOf, type Receiver, receivers, samplesOfFrames } from './reading-back.ts';

let folder: string;
let server: RunningServer | undefined;
let receiver: Receiver | undefined;
beforeEach(() => {
  folder = mkdtempSync(joinPath(tmpdir(), 'outlierscope-forward-'));
});
afterEach(async () => {
  await server?.close();
  await receiver?.stop();
  server = undefined;
  receiver = undefined;
  rmSync(folder, { recursive: true });
});

async function begin(kind: keyof typeof receivers, options: ServerOptions = {}, endpoint: object = {}) {
  const started = await receivers[kind]();
  receiver = started;
  server = await startServer({
    port: 0,
    database: joinPath(folder, 'runs.db'),
    remoteWrite: [{ url: started.writeUrl, ...endpoint }],
    ...options,
  });
  return { receiver: started, server };
}

async function send(trainer: Trainer, frames: readonly Frame[]): Promise<void> {
  for (const frame of frames) trainer.sendFrame(frame);
  await trainer.acknowledged(frames.at(-1)?.sequence ?? -1);
}

const metric = async (name: string): Promise<number> => {
  const text = await (await fetch(`${server?.url}/metrics`)).text();
  const line = text.split('\n').find((each) => each.startsWith(`outlierscope_server_remote_write_${name}`));
  return Number(line?.split(' ').at(-1));
};

const patience = { timeout: 20_000, interval: 200 };

for (const kind of ['prometheus', 'victoria-metrics'] as const) {
  requireComponents([kind])(`remote write into ${kind}`, () => {
    test('brings every measured number at its own time, with names, labels and external labels', async () => {
      const external = { cluster: 'west', zone: 'z "1"', Upper: 'x' };
      const { receiver, server } = await begin(kind, {}, { externalLabels: external, batchSamples: 100, shards: 2 });
      const hello = helloOf('run-1', {
        sites: [site('h0/residual'), site(`"'\\\n ünï💥 {a="b"}`), site('never')],
        scalars: ['loss', 'läuft "gut"'],
        tags: { host: 'node-1' },
      });
      const start = Date.now() - 60_000;
      const frames = Array.from({ length: 120 }, (_, sequence): Frame => {
        const values = absentValues(6);
        values.set([1.5 + sequence / 7, sequence % 3 === 0 ? Infinity : -sequence * 1e-30, 1 / 3, 0.75]);
        if (sequence % 2 === 1) values.set(absentValues(1), 1);
        const scalars = absentScalars(2);
        scalars[0] = 0.1 + sequence / 3;
        if (sequence > 100) scalars[1] = sequence;
        return {
          ...frameOf(sequence, { step: Math.abs(50 - sequence) }),
          time: start + 250 * sequence,
          scalars,
          values,
        };
      });
      const topNeurons = { count: 0, indices: new Uint32Array(), shares: new Float32Array() };
      const trainer = await join(server.url, { ...hello, topNeurons: 0 });
      await send(
        trainer,
        frames.map((frame) => ({ ...frame, topNeurons })),
      );
      const expected = samplesOfFrames(hello, frames, external);
      await expect.poll(async () => countOf(await receiver.samples('{run="run-1"}')), patience).toBe(countOf(expected));
      // VictoriaMetrics keeps decimals: of a double not every bit.
      expectSame(await receiver.samples('{run="run-1"}'), expected, kind === 'prometheus' ? 0 : 1e-9);
      await expect.poll(() => metric('samples_sent_total'), patience).toBe(countOf(expected));
      expect(await metric('lag_frames')).toBe(0);
      expect(await metric('last_success_timestamp_seconds')).toBeGreaterThan(start / 1000);
    });

    test('sends frames of one millisecond, and of a clock that goes back, one after the other', async () => {
      const { receiver, server } = await begin(kind);
      const trainer = await join(server.url, helloOf('run-1'));
      const start = Date.now() - 20_000;
      const times = [0, 0.4, 0.9, 5000, 5000, -9000, 100, 6000].map((time) => start + time);
      await send(
        trainer,
        times.map((time, sequence) => ({ ...frameOf(sequence), time })),
      );
      const key = keyOf({ __name__: 'outlierscope_training_step', run: 'run-1' });
      await expect
        .poll(async () => (await receiver.samples('outlierscope_training_step'))[key], patience)
        .toEqual([0, 1, 2, 5000, 5001, 5002, 5003, 6000].map((time, sequence) => [start + time, sequence * 10]));
    });

    test('ends all series of a run that finished, failed or fell silent, and goes on when it resumes', async () => {
      const { receiver, server } = await begin(kind, { finishedGraceSeconds: 1 });
      const start = Date.now() - 20_000;
      const frame = (sequence: number): Frame => ({ ...frameOf(sequence), time: start + sequence * 1000 });
      for (const id of ['finished', 'failed', 'silent', 'connected']) {
        const trainer = await join(server.url, helloOf(id));
        await send(trainer, [frame(0), frame(1)]);
        if (id === 'silent') await trainer.close();
        else if (id !== 'connected') trainer.send({ type: 'bye', outcome: id });
      }
      const here = async (): Promise<string[]> =>
        (await receiver.query('count by (run) ({run!=""})')).map(({ labels, value }) => `${labels['run']} ${value}`);
      await expect.poll(here, patience).toEqual(['connected 8']);
      expect(Object.keys(await receiver.samples('{run!=""}'))).toHaveLength(4 * 8);

      const again = await join(server.url, helloOf('finished'));
      await send(again, [frame(2)]);
      await expect.poll(here, patience).toEqual(expect.arrayContaining(['finished 8']));
      again.send({ type: 'bye', outcome: 'finished' });
      await expect.poll(here, patience).toEqual(['connected 8']);
      const steps = await receiver.samples('outlierscope_training_step{run="finished"}');
      expect(Object.values(steps)).toEqual([[0, 1, 2].map((sequence) => [start + sequence * 1000, sequence * 10])]);
      expect(await metric('samples_refused_total')).toBe(0);
    });

    test('a trainer whose clock is a day ahead does not keep the others out', async () => {
      const { receiver, server } = await begin(kind);
      const ahead = await join(server.url, helloOf('ahead'));
      await send(
        ahead,
        [0, 1, 2].map((sequence) => ({ ...frameOf(sequence), time: Date.now() + 86_400_000 + sequence })),
      );
      const key = keyOf({ __name__: 'outlierscope_training_step', run: 'ahead' });
      await expect
        .poll(async () => (await receiver.samples('outlierscope_training_step'))[key]?.length, patience)
        .toBe(3);
      const now = Date.now();
      const times = (await receiver.samples('outlierscope_training_step'))[key]?.map(([time]) => time) ?? [];
      expect(times.every((time) => time <= now + 6000)).toBe(true);
      const right = await join(server.url, helloOf('right'));
      const frames = [0, 1].map((sequence) => ({ ...frameOf(sequence), time: Date.now() - 10_000 + sequence }));
      await send(right, frames);
      await expect
        .poll(() => receiver.samples('{run="right"}'), patience)
        .toEqual(samplesOfFrames(helloOf('right'), frames));
    });
  });
}

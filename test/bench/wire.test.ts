/** The encodings that the benchmark `wire` compares: they hold what they should, and no byte more. */
import { expect, test } from 'vitest';
import { framedBytes, jsonFrame, jsonRow, remoteWrite, samplesOf, shortest } from '../../bench/wire/encodings.ts';
import { afterHello } from '../../server/run-record.ts';
import { hostileFrames, hostileHello } from '../cli/exporting.ts';
import { textFrame } from '../server/raw-socket.ts';
import { frameOf, helloOf } from '../server/trainer.ts';
import { requireComponents } from '../support/require-components.ts';
import { startVictoriaMetrics } from '../support/servers.ts';

const run = afterHello(undefined, helloOf('run-1'), 1);

test('samples are what was measured, NaN and infinities among them', () => {
  const [, sparse] = hostileFrames();
  const samples = samplesOf(sparse as never, afterHello(undefined, hostileHello, 1));
  expect(samples.map(({ value }) => value)).toEqual([Number.NaN, Number.NaN, Infinity, -Infinity, -0]);
  expect(samplesOf(frameOf(0), run).map(({ metric, site }) => [metric, site])).toEqual([
    ['loss', null],
    ['accuracy', null],
    ['kurtosis', 'h0/residual'],
    ['rms', 'h0/residual'],
    ['kurtosis', 'h1/residual'],
    ['rms', 'h1/residual'],
  ]);
});

test('numbers are as short as float32 allows, and come back', () => {
  expect([0.1, 1, 1e-30, 123456.7].map((value) => shortest(Math.fround(value)))).toEqual([
    '0.1',
    '1',
    '1e-30',
    '123456.7',
  ]);
  let state = 1;
  for (let round = 0; round < 2000; round++) {
    state = Math.imul(state, 1_664_525) + 1_013_904_223;
    const value = new Float32Array(Int32Array.of(state).buffer)[0] as number;
    if (Number.isFinite(value)) expect(Math.fround(Number(shortest(value)))).toBe(value);
  }
  expect(shortest(0.1)).toBe('0.1');
});

test('JSON has the same numbers, and a websocket frame is as long as a real one', () => {
  const frame = frameOf(2);
  expect(JSON.parse(jsonRow('run-1', frame, samplesOf(frame, run)).toString())).toEqual({
    ...{ run: 'run-1', step: 20, time: frame.time, loss: 2.48, accuracy: 0.5 },
    ...{ 'kurtosis/h0/residual': 1.5, 'rms/h0/residual': 0.5, 'kurtosis/h1/residual': 1.25, 'rms/h1/residual': 0.75 },
  });
  expect(JSON.parse(jsonFrame(frame).toString())).toEqual([
    ...[2, 20, frame.time, [2.48, 0.5], [1.5, 0.5, 1.25, 0.75]],
    ...[
      [3, 1, 3, 4_294_967_295],
      [0.5, 0.25, 0.5, 'NaN'],
    ],
  ]);
  for (const length of [0, 125, 126, 65_535, 65_536])
    expect(framedBytes(length)).toBe(textFrame('x'.repeat(length)).length);
});

requireComponents(['victoria-metrics'])('remote write, as VictoriaMetrics reads it,', () => {
  test('has every sample with its labels and time', async () => {
    const victoria = await startVictoriaMetrics();
    try {
      const start = Date.now() - 10_000;
      const frames = [0, 1].map((sequence) => ({
        time: start + sequence * 5000,
        samples: samplesOf(frameOf(sequence, { kurtosis: 2 + sequence }), run),
      }));
      const answer = await fetch(`${victoria.url}/api/v1/write`, {
        method: 'POST',
        headers: { 'Content-Encoding': 'snappy', 'Content-Type': 'application/x-protobuf' },
        body: new Uint8Array(remoteWrite('run-1', frames)),
      });
      expect(answer.status).toBe(204);
      await fetch(`${victoria.url}/internal/force_flush`);
      const exported = await (await fetch(`${victoria.url}/api/v1/export?match[]={run="run-1"}`)).text();
      const series = exported
        .trimEnd()
        .split('\n')
        .map((line) => JSON.parse(line) as { metric: Record<string, string>; values: number[]; timestamps: number[] });
      expect(series).toHaveLength(6);
      expect(series).toContainEqual({
        metric: { __name__: 'outlierscope_kurtosis', run: 'run-1', site: 'h0/residual' },
        values: [2, 3],
        timestamps: [start, start + 5000],
      });
    } finally {
      await victoria.stop();
    }
  });
});

/** `outlierscope export` in binary formats: Parquet as another library reads it, event files by a reader written from TensorFlow's descriptions. */
import { readdirSync, readFileSync } from 'node:fs';
import { join as joinPath } from 'node:path';
import { parquetMetadata, parquetReadObjects } from 'hyparquet';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { crc32c, maskedCrc32c } from '../../cli/export/tfrecord.ts';
import { frameOf, helloOf } from '../server/trainer.ts';
import { readEvents } from './event-file.ts';
import { type Exporting, hostile, hostileFrames, hostileHello, outlierscope, startExporting } from './exporting.ts';

let setting: Exporting;
beforeAll(async () => {
  setting = await startExporting();
  await setting.train(hostileHello, hostileFrames());
  const high = [0, 1, 2].map((sequence) => frameOf(sequence, { kurtosis: 9 }));
  await setting.train(helloOf('run-alerts', { runName: 'alerting' }), high);
});
afterAll(() => setting.stop());

const exported = async (...args: string[]): Promise<Buffer> => {
  const { code, stdout, stderr } = await outlierscope('export', ...args, '--database', setting.database);
  expect(stderr).not.toMatch(/outlierscope export:/);
  expect(code).toBe(0);
  return stdout;
};

const bufferOf = (bytes: Buffer): ArrayBuffer =>
  bytes.buffer.slice(bytes.byteOffset, bytes.byteOffset + bytes.byteLength) as ArrayBuffer;
const rowsOf = (bytes: Buffer): Promise<Record<string, unknown>[]> => parquetReadObjects({ file: bufferOf(bytes) });

describe('parquet', () => {
  test('is typed, and keeps every number and name as it is', async () => {
    const bytes = await exported('run-hostile', '--format', 'parquet');
    const { schema, num_rows } = parquetMetadata(bufferOf(bytes));
    expect(num_rows).toBe(18n);
    expect(
      schema
        .slice(1)
        .map(({ name, type, converted_type, repetition_type }) => [name, type, converted_type, repetition_type]),
    ).toEqual([
      ['run', 'BYTE_ARRAY', 'UTF8', 'REQUIRED'],
      ['sequence', 'INT64', undefined, 'REQUIRED'],
      ['step', 'INT64', undefined, 'REQUIRED'],
      ['time', 'INT64', 'TIMESTAMP_MILLIS', 'REQUIRED'],
      ['site', 'BYTE_ARRAY', 'UTF8', 'OPTIONAL'],
      ['metric', 'BYTE_ARRAY', 'UTF8', 'REQUIRED'],
      ['value', 'DOUBLE', undefined, 'REQUIRED'],
    ]);
    const rows = await rowsOf(bytes);
    const common = { run: 'run-hostile', sequence: 3n, step: 30n, time: new Date('2023-11-14T22:13:23Z') };
    expect(rows.filter(({ sequence }) => sequence === 3n)).toEqual([
      { ...common, site: null, metric: hostile[5], value: Number.NaN },
      { ...common, site: 'h0/residual', metric: 'kurtosis', value: Number.NaN },
      { ...common, site: 'h0/residual', metric: hostile[3], value: Number.POSITIVE_INFINITY },
      { ...common, site: hostile[0], metric: 'kurtosis', value: Number.NEGATIVE_INFINITY },
      { ...common, site: hostile[0], metric: hostile[3], value: -0 },
    ]);
    expect(rows.filter(({ site }) => site === hostile[1])).toHaveLength(2);
  });

  test('a folder gets the top neurons and alerts too', async () => {
    const folder = joinPath(setting.folder, 'tables');
    await exported('run-alerts', '--format', 'parquet', '--output', `${folder}/`);
    const read = (name: string) => rowsOf(readFileSync(joinPath(folder, name)));
    expect(await read('values.parquet')).toHaveLength(3 * 6);
    expect((await read('top_neurons.parquet'))[1]).toEqual({
      ...{ run: 'run-alerts', sequence: 0n, step: 0n, time: new Date(1_700_000_000_000) },
      ...{ site: 'h0/residual', rank: 2, neuron: 1n, share: 0.25 },
    });
    expect(await read('alerts.parquet')).toMatchObject([
      { run: 'run-alerts', rule: 'KurtosisHigh', state: 'firing', value: 9, started_step: 10n, ended_at: null },
    ]);
  });

  test('has rows in groups, so that a long run needs no more memory than a short one', async () => {
    const wide = helloOf('run-wide', {
      metrics: Array.from({ length: 250 }, (_, index) => `m${index}`),
      topNeurons: 0,
    });
    const topNeurons = { count: 0, indices: new Uint32Array(), shares: new Float32Array() };
    const values = Array.from({ length: 500 }, (_, index) => index / 8);
    await setting.train(
      wide,
      Array.from({ length: 600 }, (_, sequence) => ({ ...frameOf(sequence, { values }), topNeurons })),
    );
    const bytes = await exported('run-wide', '--format', 'parquet');
    const { row_groups, num_rows } = parquetMetadata(bufferOf(bytes));
    expect(num_rows).toBe(600n * 502n);
    expect(row_groups.map((group) => Number(group.num_rows))).toEqual([245 * 502, 245 * 502, 110 * 502]);
    const rows = await rowsOf(bytes);
    expect(rows.at(-1)).toMatchObject({ sequence: 599n, site: 'h1/residual', metric: 'm249', value: 499 / 8 });
    expect(new Set(rows.map(({ sequence }) => sequence)).size).toBe(600);
  });

  test('of a run without frames is a table without rows', async () => {
    await setting.train(helloOf('run-empty'), []);
    expect(await rowsOf(await exported('run-empty', '--format', 'parquet'))).toEqual([]);
  });
});

describe('tensorboard', () => {
  test('is one event file a run, with a scalar for each number, its step and wall time', async () => {
    const folder = joinPath(setting.folder, 'logs');
    await exported('run-hostile', '--format', 'tensorboard', '--output', folder);
    await exported('run-hostile', '--format', 'tensorboard', '--output', folder); // replaces, does not add
    expect(readdirSync(folder)).toEqual(['run-hostile']);
    const [file, ...others] = readdirSync(joinPath(folder, 'run-hostile'));
    expect(others).toEqual([]);
    expect(file).toMatch(/\.tfevents\./); // how TensorBoard finds it
    const events = readEvents(readFileSync(joinPath(folder, 'run-hostile', file as string)));
    expect(events.map(({ fileVersion, step, wallTime }) => [fileVersion, step, wallTime])).toEqual([
      ['brain.Event:2', 0, 1_700_000_000],
      [undefined, 0, 1_700_000_000],
      [undefined, 30, 1_700_000_003],
      [undefined, 30, 1_700_000_004],
    ]);
    expect(events[2]?.values).toEqual([
      { tag: hostile[5], value: Number.NaN },
      { tag: 'kurtosis/h0/residual', value: Number.NaN },
      { tag: `${hostile[3]}/h0/residual`, value: Number.POSITIVE_INFINITY },
      { tag: `kurtosis/${hostile[0]}`, value: Number.NEGATIVE_INFINITY },
      { tag: `${hostile[3]}/${hostile[0]}`, value: -0 },
    ]);
    expect(events[1]?.values).toHaveLength(10);
  });

  test('steps beyond 32 bits are whole', async () => {
    const step = Number.MAX_SAFE_INTEGER;
    await setting.train(helloOf('run-late'), [frameOf(0, { step })]);
    await exported('run-late', '--format', 'tensorboard', '--output', joinPath(setting.folder, 'late'));
    const folder = joinPath(setting.folder, 'late', 'run-late');
    const events = readEvents(readFileSync(joinPath(folder, readdirSync(folder)[0] as string)));
    expect(events[1]?.step).toBe(step);
  });

  test('checksums are those of RFC 3720 and of TensorFlow', () => {
    // RFC 3720, appendix B.4.
    expect(crc32c(new Uint8Array(32))).toBe(0x8a9136aa);
    expect(crc32c(new Uint8Array(32).fill(0xff))).toBe(0x62a8ab43);
    expect(crc32c(Uint8Array.from({ length: 32 }, (_, index) => index))).toBe(0x46dd794e);
    expect(crc32c(Buffer.from('123456789'))).toBe(0xe3069283);
    // The length 24 as every event file of TensorFlow begins: 18 00 00 00 00 00 00 00, then its checksum a3 7f 4b 22.
    expect(maskedCrc32c(Uint8Array.of(24, 0, 0, 0, 0, 0, 0, 0))).toBe(0x224b7fa3);
  });
});

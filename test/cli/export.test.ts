/** `outlierscope export`, in text formats, beside a server that goes on. */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join as joinPath } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { frameOf, helloOf } from '../server/trainer.ts';
import {
  type Exporting,
  hostile,
  hostileFrames,
  hostileHello,
  main,
  outlierscope,
  startExporting,
} from './exporting.ts';

let setting: Exporting;
beforeAll(async () => {
  setting = await startExporting();
  await setting.train(hostileHello, hostileFrames());
  const high = [0, 1, 2, 3, 4].map((sequence) => frameOf(sequence, { kurtosis: sequence < 3 ? 9 : 1 }));
  await setting.train(helloOf('run-alerts', { runName: 'alerting' }), high);
  await setting.train(helloOf('run-alerts-2', { runName: 'twice' }), []);
  await setting.train(helloOf('other', { runName: 'twice' }), []);
});
afterAll(() => setting.stop());

const exported = async (...args: string[]): Promise<string> => {
  const { code, stdout, stderr } = await outlierscope('export', ...args, '--database', setting.database);
  expect(stderr).not.toMatch(/outlierscope export:/);
  expect(code).toBe(0);
  return stdout.toString();
};
const refused = async (...args: string[]): Promise<string> => {
  const { code, stdout, stderr } = await outlierscope('export', '--database', setting.database, ...args);
  expect(code).toBe(1);
  expect(stdout.toString()).toBe('');
  return stderr;
};

/** A reader of CSV by RFC 4180 alone. */
function parseCsv(text: string): string[][] {
  const rows: string[][] = [[]];
  for (const [, quoted, plain, end] of text.matchAll(/(?:"((?:[^"]|"")*)"|([^",\n]*))(,|\n)/g)) {
    rows.at(-1)?.push(quoted?.replaceAll('""', '"') ?? plain ?? '');
    if (end === '\n') rows.push([]);
  }
  return rows.slice(0, -1);
}

describe('csv', () => {
  test('is one row for each measured number; NaN, infinities and what is absent stay apart', async () => {
    const rows = parseCsv(await exported('run-hostile'));
    expect(rows[0]).toEqual(['run', 'sequence', 'step', 'time', 'site', 'metric', 'value']);
    const start = ['run-hostile', '3', '30', '2023-11-14T22:13:23.000Z'];
    const formula = `'${hostile[0]}`;
    expect(rows.filter(([, sequence]) => sequence === '3')).toEqual([
      [...start, '', hostile[5], 'NaN'],
      [...start, 'h0/residual', 'kurtosis', 'NaN'],
      [...start, 'h0/residual', `'${hostile[3]}`, 'Infinity'],
      [...start, formula, 'kurtosis', '-Infinity'],
      [...start, formula, `'${hostile[3]}`, '0'],
    ]);
    expect(rows.filter(([, sequence]) => sequence === '0').map((row) => row[6])).toEqual(
      [2.5, 1e300, 1.5, Math.fround(0.1), 2, 3, 4, 5, 6, Math.fround(1e-30)].map(String),
    );
    expect(rows.filter((row) => row[4] === hostile[1])).toHaveLength(2);
    expect(rows.filter(([, sequence]) => sequence === '4').map((row) => row.slice(4))).toEqual([
      ['', 'loss', '0.1'],
      ['h0/residual', 'kurtosis', '7'],
      ['h0/residual', `'${hostile[3]}`, '8'],
    ]);
  });

  test('no cell of a name begins like a formula', async () => {
    for (const row of parseCsv(await exported('run-hostile')))
      for (const cell of row.slice(4, 6)) expect(cell).not.toMatch(/^[=+\-@\t\r]/);
  });

  test('a folder gets the top neurons and alerts too', async () => {
    const folder = joinPath(setting.folder, 'tables');
    await exported('run-alerts', '--output', `${folder}/`);
    expect(readdirSync(folder).toSorted()).toEqual(['alerts.csv', 'top_neurons.csv', 'values.csv']);
    const read = (name: string): string[][] => parseCsv(readFileSync(joinPath(folder, name), 'utf8'));
    expect(read('values.csv')).toEqual(parseCsv(await exported('run-alerts')));
    const start = ['run-alerts', '0', '0', '2023-11-14T22:13:20.000Z'];
    expect(read('top_neurons.csv').slice(0, 4)).toEqual([
      ['run', 'sequence', 'step', 'time', 'site', 'rank', 'neuron', 'share'],
      [...start, 'h0/residual', '1', '3', '0.5'],
      [...start, 'h0/residual', '2', '1', '0.25'],
      [...start, 'h1/residual', '1', '3', '0.5'], // its second has neither index nor share
    ]);
    const alerts = read('alerts.csv');
    expect(alerts[1]?.slice(0, 11)).toEqual([
      ...['run-alerts', 'KurtosisHigh', 'warning', 'resolved', 'kurtosis', 'h0/residual', '1.25', '40', '10'],
      ...['2023-11-14T22:13:21.000Z', '2023-11-14T22:13:24.000Z'],
    ]);
    expect(alerts).toHaveLength(2);
  });

  test('ends quietly when nobody reads on', async () => {
    const child = spawn(process.execPath, [main, 'export', 'run-alerts', '--database', setting.database], {
      stdio: ['ignore', 'pipe', 'pipe'],
    });
    child.stdout.destroy();
    let said = '';
    child.stderr.on('data', (text) => {
      said += text;
    });
    expect((await once(child, 'close'))[0]).toBe(0);
    expect(said).not.toMatch(/Error|EPIPE/);
  });
});

describe('jsonl', () => {
  test('holds the run, its frames and its alerts', async () => {
    const lines = (await exported('run-alerts', '--format', 'jsonl'))
      .trimEnd()
      .split('\n')
      .map((line) => JSON.parse(line));
    expect(lines.map(({ type }) => type)).toEqual(['run', ...Array(5).fill('frame'), 'alert']);
    expect(lines[0]).toMatchObject({
      run: 'run-alerts',
      name: 'alerting',
      state: 'connected',
      frames: 5,
      lastSequence: 4,
    });
    expect(lines[1]).toEqual({
      type: 'frame',
      run: 'run-alerts',
      sequence: 0,
      step: 0,
      time: 1_700_000_000_000,
      scalars: { loss: 2.5, accuracy: 0.5 },
      sites: [
        {
          site: 'h0/residual',
          values: { kurtosis: 9, rms: 0.5 },
          topNeurons: [
            { neuron: 3, share: 0.5 },
            { neuron: 1, share: 0.25 },
          ],
        },
        { site: 'h1/residual', values: { kurtosis: 1.25, rms: 0.75 }, topNeurons: [{ neuron: 3, share: 0.5 }] },
      ],
    });
    expect(lines[6]).toMatchObject({ run: 'run-alerts', rule: 'KurtosisHigh', state: 'resolved', startedStep: 10 });
  });

  test('keeps NaN, infinities and what is absent apart, and every name as it is', async () => {
    const lines = (await exported('run-hostile', '--format', 'jsonl'))
      .trimEnd()
      .split('\n')
      .map((line) => JSON.parse(line));
    expect(lines[2]).toMatchObject({ scalars: { [hostile[5]]: 'NaN' } });
    expect(lines[2].scalars).not.toHaveProperty('loss');
    expect(lines[2].sites.map(({ values }: { values: object }) => values)).toEqual([
      { kurtosis: 'NaN', [hostile[3]]: 'Infinity' },
      { kurtosis: '-Infinity', [hostile[3]]: 0 },
      {},
      {},
    ]);
    expect(lines[1].sites.map(({ site }: { site: string }) => site)).toEqual(
      hostileHello.sites.map(({ name }) => name),
    );
  });
});

describe('what is exported', () => {
  const columnsOf = (text: string): string[] => [
    ...new Set(
      parseCsv(text)
        .slice(1)
        .map((row) => `${row[4]}:${row[5]}`),
    ),
  ];

  test('is chosen by metric, site and step', async () => {
    expect(columnsOf(await exported('run-alerts', '--metric', 'loss', 'rms'))).toEqual([
      ':loss',
      'h0/residual:rms',
      'h1/residual:rms',
    ]);
    expect(columnsOf(await exported('run-alerts', '--site', 'h1*'))).toEqual([
      'h1/residual:kurtosis',
      'h1/residual:rms',
    ]);
    expect(columnsOf(await exported('run-alerts', '--site', '*/residual', '--metric', 'loss', 'kurtosis'))).toEqual([
      ':loss',
      'h0/residual:kurtosis',
      'h1/residual:kurtosis',
    ]);
    const rows = parseCsv(await exported('run-alerts', '--metric', 'loss', '--from', '10', '--to', '30')).slice(1);
    expect(rows.map((row) => row[2])).toEqual(['10', '20', '30']);
  });

  test('is named by id, name, or the beginning of one', async () => {
    for (const name of ['run-alerts', 'alerting', 'alert', 'run-hos', 'name,']) {
      const id = name.startsWith('run-hos') || name === 'name,' ? 'run-hostile' : 'run-alerts';
      expect(parseCsv(await exported(name))[1]?.[0], name).toBe(id);
    }
    expect(parseCsv(await exported('run-alerts-2'))).toHaveLength(1);
    const ambiguous = await refused('twice');
    expect(ambiguous).toMatch(/2 runs are meant by "twice":\n {2}other {2}twice {2}0 frames\n {2}run-alerts-2/);
    expect(await refused('run-al')).toContain('run-alerts');
    const unknown = await refused('nothing');
    for (const id of ['other', 'run-alerts-2', 'run-alerts', 'run-hostile']) expect(unknown).toContain(`  ${id}  `);
  });

  test('what is not there is refused, with what there is', async () => {
    expect(await refused('alerting', '--metric', 'speed')).toMatch(
      /no metric "speed"; it has kurtosis, rms, loss, accuracy/,
    );
    expect(await refused('alerting', '--site', 'h9*')).toMatch(/no site "h9\*"; it has h0\/residual, h1\/residual/);
    expect(await refused('alerting', '--from', '-1')).toContain('must be a whole number from 0 on');
    expect(await refused('alerting', '--format', 'tensorboard')).toContain('say where it goes with --output');
    expect(await refused('alerting', '--database', joinPath(setting.folder, 'none.db'))).toMatch(
      /there is no database .*none\.db/,
    );
    const notes = joinPath(setting.folder, 'notes.txt');
    writeFileSync(notes, 'Not a database.'.repeat(100));
    expect(await refused('alerting', '--database', notes)).toMatch(/cannot be read: file is not a database/);
    expect(readdirSync(setting.folder).filter((name) => name.startsWith('none'))).toEqual([]);
  });

  test('of an export that is interrupted nothing stays, and one that nobody reads ends at once', async () => {
    const metrics = Array.from({ length: 250 }, (_, index) => `m${index}`);
    const values = Array.from({ length: 500 }, (_, index) => index / 7);
    const topNeurons = { count: 0, indices: new Uint32Array(), shares: new Float32Array() };
    const frames = Array.from({ length: 3000 }, (_, sequence) => ({ ...frameOf(sequence, { values }), topNeurons }));
    await setting.train(helloOf('run-wide', { metrics, topNeurons: 0 }), frames);
    const folder = joinPath(setting.folder, 'interrupted');
    const start = (output: string) =>
      spawn(process.execPath, [main, 'export', 'run-wide', '--database', setting.database, '--output', output], {
        stdio: ['ignore', 'pipe', 'ignore'],
      });
    const writing = start(`${folder}/`);
    const ended = once(writing, 'exit');
    await expect.poll(() => existsSync(joinPath(folder, 'values.csv.partial')), { interval: 2 }).toBe(true);
    writing.kill('SIGTERM');
    expect(await ended).toEqual([143, null]);
    expect(readdirSync(folder)).toEqual([]);

    const waiting = start('-');
    await once(waiting.stdout, 'readable');
    waiting.kill('SIGTERM');
    expect(await once(waiting, 'exit')).toEqual([null, 'SIGTERM']);
  });

  test('a file appears when it is whole', async () => {
    const folder = joinPath(setting.folder, 'whole');
    mkdirSync(folder);
    const path = joinPath(folder, 'run.csv');
    await exported('run-alerts', '--output', path);
    expect(readFileSync(path, 'utf8')).toBe(await exported('run-alerts'));
    expect(readdirSync(folder)).toEqual(['run.csv']);
    expect(await refused('run-alerts', '--output', joinPath(path, 'below.csv'))).toMatch(
      /below\.csv cannot be written/,
    );
  });
});

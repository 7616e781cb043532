import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { ByteWriter, chunkBytes, createChunkPool } from '../../../server/exposition/byte-writer.ts';
import type { Format } from '../../../server/exposition/formats.ts';
import { ownFamilies, writeOwnFamily } from '../../../server/exposition/own-families.ts';
import { createHealth } from '../../../server/health.ts';
import { defaultRules } from '../../../src/rules.ts';
import { requireComponents } from '../../support/require-components.ts';
import { promtoolCheckMetrics } from '../../support/servers.ts';
import { frameOf, helloOf, site } from '../trainer.ts';
import { liveRun, parseSamples, render } from './runs.ts';

const hostile = `"'\\\n</script> ünï💥 {} # HELP`;

const runs = [
  liveRun(
    helloOf('run-a', { config: { model: 'gpt-mini', layers: 2 }, tags: { host: 'node-1', group: 'g', rank: '0' } }),
    defaultRules,
    frameOf(0, { kurtosis: 50 }),
    frameOf(1, { kurtosis: 50, values: [5, 0.1, Number.NaN, Infinity] }),
  ),
  liveRun(
    helloOf('run-b', { runName: hostile, metrics: ['kurtosis', 'unheard_of'], scalars: [hostile] }),
    defaultRules,
    frameOf(3, { scalars: [1e-300], values: [-Infinity, 9, 1e-30, 9] }),
  ),
  liveRun(helloOf('run-c'), defaultRules),
];

describe('the text of runs', () => {
  test.each<[Format, string]>([
    ['text', 'golden/runs.prom'],
    ['openmetrics', 'golden/runs.openmetrics'],
  ])('as %s is that of the golden file', async (format, file) => {
    await expect(await render(runs, defaultRules, format)).toMatchFileSnapshot(file);
  });

  test('without runs there is nothing but the end that OpenMetrics asks for', async () => {
    expect(await render([])).toBe('');
    expect(await render([], defaultRules, 'openmetrics')).toBe('# EOF\n');
  });

  test('both formats show the same series with the same values', async () => {
    const [text, openmetrics] = await Promise.all([
      render(runs, defaultRules),
      render(runs, defaultRules, 'openmetrics'),
    ]);
    expect(parseSamples(openmetrics)).toEqual(parseSamples(text));
  });

  test('a site that was declared after the frame has no sample', async () => {
    const { record, peaks } = liveRun(helloOf('r', { sites: [site('a'), site('b'), site('late')] }), []);
    expect(await render([{ record, latest: frameOf(0), peaks }])).not.toContain('late');
  });

  test('a spike that is over is still in the recent maximum', async () => {
    const run = liveRun(helloOf('r'), [], frameOf(0, { kurtosis: 700 }), frameOf(1, { kurtosis: 2 }));
    const text = await render([run]);
    expect(text).toContain('outlierscope_kurtosis{run="r",site="h0/residual"} 2\n');
    expect(text).toContain('outlierscope_kurtosis_recent_max{run="r",site="h0/residual"} 700\n');
  });

  test('any name that a trainer may send stays on its line and reads back as it was', async () => {
    const name = fc.string({ unit: 'binary', minLength: 1, maxLength: 40 });
    const special = fc.string({ unit: fc.constantFrom('"', '\\', '\n', 'n', '}', ',', '=', '💥', 'ü'), minLength: 1 });
    await fc.assert(
      fc.asyncProperty(fc.oneof(name, special), fc.oneof(name, special), async (runName, siteName) => {
        const hello = helloOf('r', {
          runName,
          sites: [site(siteName), site(`${siteName} 2`)],
          tags: { host: runName },
        });
        for (const format of ['text', 'openmetrics'] as const) {
          const samples = parseSamples(await render([liveRun(hello, [], frameOf(0))], [], format));
          expect(samples.find((sample) => sample.name === 'outlierscope_run_info')?.labels).toEqual({
            run: 'r',
            name: runName,
            host: runName,
          });
          expect(
            samples.filter((sample) => sample.name === 'outlierscope_rms').map(({ labels }) => labels['site']),
          ).toEqual([siteName, `${siteName} 2`]);
        }
      }),
    );
  });

  test('half a surrogate, which is no Unicode, gives way', async () => {
    expect(await render([liveRun(helloOf('r', { runName: 'a\ud800' }), [])])).toContain('name="a\ufffd"');
  });

  test('a line longer than a chunk is written whole', async () => {
    const model = 'x'.repeat(2 * chunkBytes);
    const samples = parseSamples(await render([liveRun(helloOf('r', { config: { model } }), [], frameOf(0))]));
    expect(samples.find(({ name }) => name === 'outlierscope_run_info')?.labels['model']).toBe(model);
    expect(samples.filter(({ name }) => name === 'outlierscope_rms')).toHaveLength(2);
  });

  test('more than a chunk of samples is the same as in pieces', async () => {
    const sites = Array.from({ length: 4096 }, (_, index) => site(`site ${index}`));
    const values = sites.flatMap((_, index) => [index + 1, 1 / (index + 1)]);
    const text = await render([liveRun(helloOf('r', { sites }), [], frameOf(0, { values }))]);
    expect(text.length).toBeGreaterThan(2 * chunkBytes);
    const kurtosis = parseSamples(text).filter(({ name }) => name === 'outlierscope_kurtosis');
    expect(kurtosis.map(({ value }) => value)).toEqual(sites.map((_, index) => index + 1));
  });
});

describe('limits on series', () => {
  const many = (id: string) =>
    liveRun(helloOf(id, { sites: ['a', 'b', 'c'].map(site) }), [], frameOf(0, { values: [1, 2, 3, 4, 5, 6] }));
  // Of each: info, 4 states, step, time, loss, accuracy, and 3 sites with recent maximum, kurtosis, RMS.
  const perRun = 18;

  test('leave the last families and sites of a large run out, the same ones every time', async () => {
    const text = await render([many('r')], [], 'text', { runSeries: perRun - 2, scrapeSeries: 1e6 });
    expect(
      parseSamples(text)
        .slice(-4)
        .map(({ name, labels }) => [name, labels['site']]),
    ).toEqual([
      ['outlierscope_kurtosis', 'a'],
      ['outlierscope_kurtosis', 'b'],
      ['outlierscope_kurtosis', 'c'],
      ['outlierscope_rms', 'a'],
    ]);
    expect(parseSamples(text)).toHaveLength(perRun - 2);
  });

  test('leave whole runs out, those that began last', async () => {
    const three = ['r1', 'r2', 'r3'].map(many);
    const limits = { runSeries: 1e6, scrapeSeries: 2 * perRun + 5 };
    const samples = parseSamples(await render(three, [], 'text', limits));
    expect(samples).toHaveLength(2 * perRun);
    expect([...new Set(samples.map(({ labels }) => labels['run']))]).toEqual(['r1', 'r2']);
  });
});

async function everything(format: Format): Promise<string> {
  const health = createHealth();
  health.refused.inc({ reason: 'malformed' });
  health.alerts.inc({ rule: 'KurtosisHigh', state: 'firing' });
  health.storeSeconds.observe(0.01);
  const writer = new ByteWriter(createChunkPool());
  for (const family of await ownFamilies(health.registry)) writeOwnFamily(family, format, writer);
  return Buffer.concat(writer.finish()).toString() + (await render(runs, defaultRules, format));
}

test('OpenMetrics has every counter end in _total under a family that does not, and info likewise', async () => {
  const text = await everything('openmetrics');
  const types = new Map([...text.matchAll(/^# TYPE (\S+) (\S+)$/gm)].map(([, name = '', type = '']) => [name, type]));
  for (const { name } of parseSamples(text)) {
    const owner = ['', '_total', '_info', '_bucket', '_count', '_sum'].find((suffix) => {
      const type = types.get(name.slice(0, name.length - suffix.length));
      if (!name.endsWith(suffix) || type === undefined) return false;
      if (type === 'counter') return suffix === '_total';
      if (type === 'info') return suffix === '_info';
      return type === 'gauge' ? suffix === '' : ['_bucket', '_count', '_sum'].includes(suffix);
    });
    expect(owner, name).toBeDefined();
  }
  for (const [, name = '', unit] of text.matchAll(/^# UNIT (\S+) (\S+)$/gm))
    expect(name).toMatch(new RegExp(`_${unit}$`));
  expect(text).toContain('# UNIT outlierscope_server_throttled_seconds seconds\n');
  expect([...types.values()].toSorted().filter((type, index, all) => type !== all[index - 1])).toEqual([
    'counter',
    'gauge',
    'histogram',
    'info',
  ]);
});

requireComponents(['promtool'])('promtool', () => {
  test('finds nothing wrong with the text of runs and of the server itself', async () => {
    expect(await promtoolCheckMetrics(await everything('text'))).toEqual({ ok: true, output: '' });
  });

  test('would find a fault', async () => {
    expect((await promtoolCheckMetrics(`${await render(runs)}bad{`)).ok).toBe(false);
  });
});

/** The benchmarks: their statistics on known data, and that they run. Their figures are for docs/benchmarks.md to tell. */
import { execFile } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { describe, expect, test } from 'vitest';
import { isMet } from '../../bench/support/bench.ts';
import { bootstrapInterval, median, medianRatio, ratioOfTotals, shuffled } from '../../bench/support/statistics.ts';
import { seededRandom } from '../../cli/demo/batches.ts';
import { describeNative } from '../support/native.ts';

const root = fileURLToPath(new URL('../..', import.meta.url));
const run = (...args: string[]) =>
  promisify(execFile)('npm', ['run', '--silent', 'bench', '--', ...args], { cwd: root });

describe('statistics of benchmarks', () => {
  test('the median is the middle value, or the mean of both', () => {
    expect(median([3, 1, 2])).toBe(2);
    expect(median([10, 1, 2, 3])).toBe(2.5);
    expect(median([])).toBeNaN();
  });

  test('a ratio of totals weighs by time, a median of ratios by round', () => {
    const rounds = [
      { with: 2, without: 1 },
      { with: 12, without: 10 },
      { with: 11, without: 10 },
    ];
    expect(ratioOfTotals<'with' | 'without'>(['with'], ['without'])(rounds)).toBeCloseTo(25 / 21, 12);
    expect(medianRatio<'with' | 'without'>('with', 'without')(rounds)).toBe(1.2);
  });

  test('a bootstrap interval of a mean is as wide as theory says, and the same for the same seed', () => {
    const random = seededRandom(1);
    const samples = Array.from({ length: 400 }, random); // uniform: standard error of the mean sqrt(1 / 12 / 400)
    const mean = (values: readonly number[]) => values.reduce((sum, value) => sum + value, 0) / values.length;
    const [low, high] = bootstrapInterval(samples, mean, seededRandom(2));
    expect((high - low) / 2 / 1.96).toBeCloseTo(Math.sqrt(1 / 12 / 400), 3);
    expect((high + low) / 2).toBeCloseTo(mean(samples), 2);
    expect(bootstrapInterval(samples, mean, seededRandom(2))).toEqual([low, high]);
  });

  test('without spread the interval is a point', () => {
    expect(bootstrapInterval([5, 5, 5], median, seededRandom(1))).toEqual([5, 5]);
  });

  test('shuffling keeps every arm once and changes the order', () => {
    const arms = Array.from({ length: 20 }, (_, index) => index);
    const order = shuffled(arms, seededRandom(1));
    expect(order.toSorted((a, b) => a - b)).toEqual(arms);
    expect(order).not.toEqual(arms);
  });

  test('a figure that is missing or NaN meets nothing', () => {
    const requirement = { figure: 'ratio', must: 'at most', limit: 1.05 } as const;
    expect(isMet(requirement, { ratio: 1.05 })).toBe(true);
    expect(isMet(requirement, { ratio: Number.NaN })).toBe(false);
    expect(isMet(requirement, {})).toBe(false);
    expect(isMet({ figure: 'ratio', must: 'below', other: 'peer' }, { ratio: 1.1, peer: 1.1 })).toBe(false);
  });
});

describe('npm run bench', () => {
  test('without a name lists the benchmarks', async () => {
    const { stdout } = await run();
    expect(stdout).toMatch(
      /overhead.*\n.*metrics.*\n.*memory.*\n.*ingest.*\n.*isolation.*\n.*wire.*\n.*fleet.*\n.*scrape.*\n.*remote-write/,
    );
  });

  test('with a name that there is not says so', async () => {
    await expect(run('speed')).rejects.toMatchObject({
      code: 1,
      stderr: expect.stringContaining("There is no benchmark 'speed'"),
    });
  });
});

describeNative('benchmarks on native TensorFlow, short', () => {
  test.each([
    ['metrics', ['ratio_to_single_pass', 'speedup_vs_gram']],
    ['memory', ['ratio']],
    ['ingest', ['ratio_victoriametrics', 'ratio_pushgateway']],
    ['isolation', ['worst_ratio']],
    ['remote-write', ['ratio_vmagent']],
    ['wire', ['bytes_per_sample', 'json_bytes_per_sample']],
    ['scrape', ['speedup', 'stall_ms']],
  ])(
    '%s prints one line of JSON with its figures',
    async (name, figures) => {
      const { stdout } = await run(name, '--quick', '--json');
      const lines = stdout.trimEnd().split('\n');
      expect(lines).toHaveLength(1);
      const result = JSON.parse(lines[0] as string) as Record<string, unknown>;
      expect(result).toMatchObject({ bench: name, length: 'quick', machine: { backend: 'tensorflow' } });
      for (const figure of figures) expect(result[figure], figure).toBeGreaterThan(0);
      expect(result['requirements']).toHaveLength(figures.length);
    },
    240_000,
  );

  test('fleet loses nothing', async () => {
    const { stdout } = await run('fleet', '--quick', '--json');
    const result = JSON.parse(stdout) as { details: Record<string, number>; requirements: { figure: string }[] };
    expect(result).toMatchObject({ bench: 'fleet', lost: 0, details: { trainers: 50 } });
    expect(result.details['frames_acknowledged']).toBe(result.details['frames_sent']);
    expect(result.requirements.map(({ figure }) => figure)).toEqual(['lost', 'p99_ms', 'memory_mb']);
  }, 120_000);
});

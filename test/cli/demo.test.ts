/** The demo as a newcomer runs it: the built command, a real training, a genuine alert. */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { fileURLToPath } from 'node:url';
import { describe, expect, test } from 'vitest';
import { component } from '../support/components.ts';
import { describeNative } from '../support/native.ts';
import { promtoolCheckMetrics } from '../support/servers.ts';

const main = fileURLToPath(new URL('../../dist/cli/main.js', import.meta.url));

interface Outcome {
  readonly code: number | null;
  readonly stdout: string;
  readonly stderr: string;
}

/** Runs `outlierscope demo`; `meanwhile` is called once, when the first steps are trained. */
async function demo(args: readonly string[], meanwhile?: (pageUrl: string) => Promise<void>): Promise<Outcome> {
  const child = spawn(process.execPath, [main, 'demo', '--port', '0', ...args], { stdio: ['ignore', 'pipe', 'pipe'] });
  let [stdout, stderr] = ['', ''];
  let during: Promise<void> | undefined;
  child.stdout.setEncoding('utf8').on('data', (text: string) => {
    stdout += text;
  });
  child.stderr.setEncoding('utf8').on('data', (text: string) => {
    stderr += text;
    if (/step 25 of/.test(stderr)) during ??= meanwhile?.(/http:\/\/\S+/.exec(stderr)?.[0] as string);
  });
  const [code] = (await once(child, 'close')) as [number | null];
  await during;
  return { code, stdout, stderr };
}

const summaryOf = ({ stdout, stderr }: Outcome): Record<string, unknown> => {
  const lines = stdout.trimEnd().split('\n');
  expect(lines, stderr).toHaveLength(1);
  return JSON.parse(lines[0] as string) as Record<string, unknown>;
};

describeNative('outlierscope demo on native TensorFlow', () => {
  test('ends in one line of JSON, with an alert that the training itself raised', async () => {
    let metrics = '';
    const outcome = await demo(['--steps', '70', '--json'], async (pageUrl) => {
      metrics = await (await fetch(new URL('/metrics', pageUrl))).text();
    });
    expect(outcome.code, outcome.stderr).toBe(0);
    const summary = summaryOf(outcome);
    expect(summary).toMatchObject({ backend: 'tensorflow', steps: 70, frames: 14, first_alert_rule: 'KurtosisHigh' });
    expect(summary['alerts']).toBeGreaterThanOrEqual(1);
    expect(summary['first_alert_step']).toBeLessThan(70);
    expect(summary['first_kurtosis']).toBeLessThan(2);
    expect(summary['peak_kurtosis']).toBeGreaterThan(3);
    expect(summary['last_loss']).toBeLessThan(summary['first_loss'] as number);
    expect(metrics).toContain('outlierscope_kurtosis{run="demo-Pre-Norm-GPT');
    // Where promtool is missing, CI fails by the tests of the server; here the rest is still worth knowing.
    if (component('promtool') !== undefined) expect(await promtoolCheckMetrics(metrics)).toMatchObject({ ok: true });
  }, 240_000);
});

describe('outlierscope demo without a native backend', () => {
  test('trains a smaller model on WebAssembly', async () => {
    const outcome = await demo(['--steps', '6', '--json', '--backend', 'wasm']);
    expect(outcome.code, outcome.stderr).toBe(0);
    expect(summaryOf(outcome)).toMatchObject({ backend: 'wasm', steps: 6, frames: 2 });
  }, 120_000);

  test('says what is wrong with an option, and what is accepted', async () => {
    const outcome = await demo(['--steps', 'many']);
    expect(outcome.code).toBe(1);
    expect(outcome.stderr).toMatch(/--steps <number>' argument 'many' is invalid\. must be a whole number from 1 on/);
  });
});

/** What a receiver has, and what it should have: both as lists of samples by series, made apart from the code under test. */
import { expect } from 'vitest';
import { siteMetric } from '../../../src/catalogue.ts';
import { type Frame, isMeasured } from '../../../src/frame.ts';
import type { Hello } from '../../../src/messages.ts';
import { type QueryableServer, startPrometheus, startVictoriaMetrics } from '../../support/servers.ts';

/** Times in milliseconds, with values, in the order of time; by the series' labels as sorted JSON. */
export type Samples = Record<string, [number, number][]>;

export interface Receiver extends QueryableServer {
  readonly writeUrl: string;
  /** All samples of some series, stale markers left out. */
  samples(selector: string): Promise<Samples>;
}

export const receivers = {
  async prometheus(): Promise<Receiver> {
    const server = await startPrometheus();
    return {
      ...server,
      writeUrl: `${server.url}/api/v1/write`,
      async samples(selector) {
        const query = new URLSearchParams({ query: `${selector}[30d]`, time: String(Date.now() / 1000 + 3600) });
        const response = await fetch(`${server.url}/api/v1/query?${query}`);
        if (!response.ok) throw new Error(await response.text());
        const { data } = (await response.json()) as {
          data: { result: { metric: Record<string, string>; values: [number, string][] }[] };
        };
        return Object.fromEntries(
          data.result.map(({ metric, values }) => [
            keyOf(metric),
            values.map(([time, value]) => [Math.round(time * 1000), Number(value.replace('Inf', 'Infinity'))]),
          ]),
        );
      },
    };
  },
  async 'victoria-metrics'(): Promise<Receiver> {
    // One that is not done with its connections in time ends without writing down what it acknowledged.
    const server = await startVictoriaMetrics({ flags: ['-http.maxGracefulShutdownDuration=4s'] });
    return {
      ...server,
      writeUrl: `${server.url}/api/v1/write`,
      async samples(selector) {
        await fetch(`${server.url}/internal/force_flush`);
        const query = new URLSearchParams({ 'match[]': selector });
        const response = await fetch(`${server.url}/api/v1/export?${query}`);
        const lines = (await response.text()).split('\n').filter((line) => line !== '');
        const samples: Samples = {};
        for (const line of lines) {
          const { metric, values, timestamps } = JSON.parse(quoted(line)) as {
            metric: Record<string, string>;
            values: (number | string | null)[];
            timestamps: number[];
          };
          // Stale markers are null, infinities text.
          const measured = values.flatMap((value, index): [number, number][] =>
            value === null ? [] : [[timestamps[index] as number, Number(value)]],
          );
          samples[keyOf(metric)] = [...(samples[keyOf(metric)] ?? []), ...measured].sort(([a], [b]) => a - b);
        }
        return samples;
      },
    };
  },
} as const;

export function keyOf(labels: Readonly<Record<string, string>>): string {
  return JSON.stringify(Object.fromEntries(Object.entries(labels).sort(([one], [other]) => (one < other ? -1 : 1))));
}

/** Every measured number of frames with its own time. */
export function samplesOfFrames(
  hello: Hello,
  frames: readonly Frame[],
  external: Readonly<Record<string, string>> = {},
): Samples {
  const samples: Samples = {};
  for (const { time, step, scalars, values } of frames) {
    const put = (metric: string, labels: Record<string, string>, value: number): void => {
      const key = keyOf({ ...external, __name__: metric, run: hello.runId, ...labels });
      samples[key] ??= [];
      samples[key].push([time, value]);
    };
    put('outlierscope_run_info', { name: hello.runName, ...hello.tags }, 1);
    put('outlierscope_training_step', {}, step);
    for (const [index, name] of hello.scalars.entries()) {
      if (!isMeasured(scalars, index)) continue;
      if (name === 'loss') put('outlierscope_loss', {}, scalars[index] as number);
      else put('outlierscope_user_scalar', { name }, scalars[index] as number);
    }
    for (const [row, site] of hello.sites.entries()) {
      for (const [column, name] of hello.metrics.entries()) {
        const index = row * hello.metrics.length + column;
        if (!isMeasured(values, index)) continue;
        put(siteMetric(name)?.prometheus.name ?? '', { site: site.name }, values[index] as number);
      }
    }
  }
  return samples;
}

/** VictoriaMetrics writes infinities as no JSON does. */
function quoted(line: string): string {
  return line.replace(/(?<=[[,])([+-]?)Inf(?=[,\]])/g, '"$1Infinity"');
}

/** Whether both have the same series with the same times, and values that are the same but for so much of themselves. */
export function expectSame(found: Samples, expected: Samples, tolerance = 1e-9): void {
  expect(Object.keys(found).toSorted()).toEqual(Object.keys(expected).toSorted());
  for (const [key, samples] of Object.entries(expected)) {
    const read = found[key] ?? [];
    expect(
      read.map(([time]) => time),
      key,
    ).toEqual(samples.map(([time]) => time));
    for (const [index, [time, value]] of samples.entries()) {
      const other = read[index]?.[1] as number;
      const close = Object.is(other, value) || Math.abs(other - value) <= tolerance * Math.abs(value);
      if (!close) expect.fail(`${key} at ${time}: ${other} instead of ${value}`);
    }
  }
}

export function countOf(samples: Samples): number {
  return Object.values(samples).reduce((count, series) => count + series.length, 0);
}

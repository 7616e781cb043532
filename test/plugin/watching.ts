/** Monitors for the tests of a file, what a real server has of them, and a watch over tensors. */
import * as tf from '@tensorflow/tfjs-core';
import { type MonitorOptions, type OutlierMonitor, outlierMonitor } from 'outlierscope';
import { type RunningServer, startServer } from 'outlierscope/server';
import { afterAll, beforeAll, expect } from 'vitest';

/** What the server has of a run, one value a stored frame. */
export interface StoredRun {
  readonly steps: number[];
  readonly sites: string[];
  readonly scalars: Record<string, (number | null)[]>;
}

export interface Watching {
  /** A monitor that delivers to this file's server; its warnings go to `warnings`, or nowhere. */
  monitor(options?: MonitorOptions, warnings?: string[]): OutlierMonitor;
  /** Closes a monitor and gives what the server stored of it. */
  stored(monitor: OutlierMonitor): Promise<StoredRun>;
}

/** To be called in a `describe`: starts a server before its tests and stops it after them. */
export function watching(): Watching {
  let server: RunningServer;
  beforeAll(async () => {
    server = await startServer({ port: 0, database: ':memory:' });
  });
  afterAll(() => server.close());
  return {
    monitor: (options = {}, warnings = []) =>
      outlierMonitor({
        url: server.url.replace(/^http/, 'ws'),
        run: 'test',
        every: 1,
        warn: (message) => warnings.push(message),
        ...options,
      }),
    stored: async (monitor) => {
      const { accepted, delivered } = await monitor.close();
      expect(delivered).toBe(accepted);
      const answer = await fetch(`${server.url}/api/runs/${monitor.runId}/series?metric=kurtosis`);
      return (await answer.json()) as StoredRun;
    },
  };
}

/** Runs something and expects that it leaves as many tensors as there were. */
export async function withoutLeaks<Result>(work: () => Result | Promise<Result>): Promise<Result> {
  const before = tf.memory().numTensors;
  const result = await work();
  expect(tf.memory().numTensors).toBe(before);
  return result;
}

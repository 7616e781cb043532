/** Alerts come back to the trainer, also to a loop that never yields to the event loop. */
import { fileURLToPath } from 'node:url';
import * as tf from '@tensorflow/tfjs-core';
import { type Alert, outlierMonitor } from 'outlierscope';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { describeNative } from '../support/native.ts';
import { type RunningProcess, startProcess } from '../support/process.ts';

const main = fileURLToPath(new URL('../../dist/cli/main.js', import.meta.url));

describeNative('alerts', () => {
  // A process of its own, as in real use: in this one it could not answer while the loop runs.
  let server: RunningProcess;
  let url: string;
  beforeAll(async () => {
    server = await startProcess({
      name: 'outlierscope serve',
      command: process.execPath,
      args: [main, 'serve', '--port', '0', '--database', ':memory:'],
      readyLine: /serves http/,
    });
    url = `ws${/http(:\S+)/.exec(server.output())?.[1]}`;
  });
  afterAll(() => server.stop());

  test('reach a fully synchronous loop while it runs, and what the user does with them does not stop it', async () => {
    const alerts: Alert[] = [];
    const monitor = outlierMonitor({
      url,
      run: 'synchronous',
      every: 1,
      onAlert: (alert) => {
        alerts.push(alert);
        throw new Error("a mistake in the user's function");
      },
    });
    const weight = tf.variable(tf.ones([1, 32]));
    const optimizer = tf.train.sgd(1e-9);
    // One neuron of 32 holds nearly everything: kurtosis near 32.
    const x = tf.tensor2d(
      Array.from({ length: 8 }, (_, row) => Array.from({ length: 32 }, (__, j) => (j === 5 ? 100 + row : 1))),
    );
    const before = tf.memory().numTensors;
    const deadline = performance.now() + 20_000;
    monitor.stepSync(); // the first step begins
    while (alerts.length === 0 && performance.now() < deadline) {
      const loss = optimizer.minimize(
        () => tf.mean(tf.square(monitor.tap('hidden', tf.mul(x, weight)))) as tf.Scalar,
        true,
        [weight],
      ) as tf.Scalar;
      monitor.stepSync({ loss });
      loss.dispose();
    }
    expect(alerts[0]).toMatchObject({ rule: 'KurtosisHigh', state: 'firing', site: 'hidden', runId: monitor.runId });
    expect(alerts[0]?.value).toBeGreaterThan(30);
    await monitor.close();
    expect(alerts).toHaveLength(1);
    expect(tf.memory().numTensors).toBe(before);
    tf.dispose([weight, x]);
    optimizer.dispose();
  });
});

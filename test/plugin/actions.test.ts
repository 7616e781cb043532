/** Actions: what a server asks of a trainer reaches it, is refused unless its user allowed it, and the answer comes back. */
import { once } from 'node:events';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import * as tf from '@tensorflow/tfjs-core';
import { outlierMonitor } from 'outlierscope';
import { expect, test } from 'vitest';
import { createGate } from '../../server/access/gate.ts';
import { createHealth } from '../../server/health.ts';
import { createIngest } from '../../server/ingest.ts';
import { defaultLimits } from '../../server/limits.ts';
import type { ActionResult } from '../../src/messages.ts';
import { describeOn } from '../support/backends.ts';

const describeCpu = await describeOn('cpu');

describeCpu('an action', () => {
  test('that the user has not allowed is refused by the trainer, and changes nothing', async () => {
    const results: [string, ActionResult][] = [];
    const limits = defaultLimits;
    const ingest = createIngest({
      gate: createGate({ tokens: [], limits, isTrustedProxy: () => false }),
      admission: { refusalOf: () => undefined },
      admitRun: () => {},
      limits,
      submit: ({ kind, source }) => {
        if (kind === 'hello') source.welcome(-1);
        return true;
      },
      onActionResult: (runId, result) => results.push([runId, result]),
      health: createHealth(),
      now: Date.now,
    });
    const server = createServer().on('upgrade', ingest.upgrade).listen(0, '127.0.0.1');
    await once(server, 'listening');
    const monitor = outlierMonitor({ url: `ws://127.0.0.1:${(server.address() as AddressInfo).port}`, every: 1 });
    const { runId } = monitor;
    const action = { type: 'action', id: 'a-1', action: 'stop', parameters: { after: 3 }, why: 'kurtosis' } as const;
    expect(ingest.sendAction(runId, action)).toBe(false); // nobody is there yet

    const x = tf.ones<tf.Rank.R2>([4, 8]);
    const weight = tf.variable(tf.ones([1, 8]));
    const optimizer = tf.train.sgd(1e-3);
    const step = () => {
      const loss = () => tf.mean(tf.square(monitor.tap('hidden', tf.mul(x, weight)))) as tf.Scalar;
      optimizer.minimize(loss, false, [weight]);
      monitor.stepSync();
    };
    monitor.stepSync();
    step();
    await expect.poll(() => ingest.sendAction(runId, action)).toBe(true);
    await expect
      .poll(() => {
        step();
        return results.length;
      })
      .toBeGreaterThan(0);
    expect(results[0]).toEqual([
      runId,
      { type: 'actionResult', id: 'a-1', outcome: 'refused', detail: expect.stringContaining('stop') },
    ]);
    expect(monitor.faults).toBe(0);
    await monitor.close({ deadlineMilliseconds: 0 });
    await ingest.close();
    server.close();
    tf.dispose([x, weight]);
    optimizer.dispose();
  });
});

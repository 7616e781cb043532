/** The monitor as a callback of fit and fitDataset: in every position, beside any other callback, and out of the way without it. */
import * as tf from '@tensorflow/tfjs-core';
import * as tfLayers from '@tensorflow/tfjs-layers';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { describeNative } from '../support/native.ts';
import { build, callbacksFor, disposeModels, fits, xs, ys } from './fits.ts';
import { watching } from './watching.ts';

describeNative('the monitor among the callbacks', () => {
  const { monitor: monitorOf, stored } = watching();
  let before: number;
  beforeEach(() => {
    before = tf.memory().numTensors;
  });
  afterEach(() => {
    disposeModels();
    expect(tf.memory().numTensors).toBe(before);
  });

  const orders: (keyof ReturnType<typeof callbacksFor>)[][] = [
    ['monitor'],
    ['monitor', 'early'],
    ['early', 'monitor'],
    ['monitor', 'plain'],
    ['plain', 'monitor'],
    ['plain', 'early', 'monitor', 'plain'],
    ['custom', 'monitor', 'plain'],
  ];
  const cases = orders.flatMap((order) => [
    [order.join(', '), 'fit', 'functional', order] as const,
    [order.join(', '), 'fitDataset', 'Sequential', order] as const,
  ]);
  test.each(cases)('[%s] in %s of a %s model', async (_, method, kind, order) => {
    const model = build(tfLayers, kind);
    const monitor = monitorOf({ every: 3 });
    const seen: string[] = [];
    const all = callbacksFor(monitor, tfLayers, seen);
    await fits[method](model, { callbacks: order.map((name) => all[name]) as never, yieldEvery: 'batch' });
    const { steps, sites, scalars } = await stored(monitor);
    // Eight batches; what validation gave after the last sampled one comes at the end.
    expect(steps).toEqual([0, 3, 6, 7]);
    expect(sites).toEqual([kind === 'functional' ? 'sum' : 'block/sum']);
    expect(scalars['val_loss']?.[2]).toBeGreaterThan(0);
    expect(monitor.faults).toBe(0);
    const times = (name: keyof typeof all, calls: number) => order.filter((each) => each === name).length * calls;
    expect(seen.filter((name) => name === 'plain')).toHaveLength(times('plain', 2));
    expect(seen.filter((name) => name === 'custom')).toHaveLength(times('custom', 8));
    const { monitorFunc, wait } = all.early as unknown as { monitorFunc: unknown; wait: number | undefined };
    expect([typeof monitorFunc, typeof wait]).toEqual(['function', order.includes('early') ? 'number' : 'undefined']);
  });

  test('alone, without an array', async () => {
    const monitor = monitorOf({ every: 3 });
    await fits.fit(build(tfLayers, 'functional'), { callbacks: monitor });
    expect((await stored(monitor)).steps).toEqual([0, 3, 6, 7]);
  });

  test('lets EarlyStopping stop, and plain objects keep the fit’s yieldEvery', async () => {
    const monitor = monitorOf();
    const model = build(tfLayers, 'functional');
    const early = new tfLayers.EarlyStopping({ monitor: 'loss', mode: 'max', patience: 0 });
    await fits.fit(model, { callbacks: [{ onEpochEnd: () => {} }, early, monitor] as never, epochs: 9 });
    expect((await stored(monitor)).steps.length).toBeLessThan(9 * 4);
    const clash = { callbacks: [monitor, { onYield: () => {} }] as never, yieldEvery: 'never' } as const;
    await expect(fits.fit(model, clash)).rejects.toThrow(/yieldEvery is `never`/);
  });

  test('changes nothing where it is not', async () => {
    const monitor = monitorOf(); // from here on fit is wrapped
    const model = build(tfLayers, 'functional');
    const seen: string[] = [];
    await fits.fit(model, { callbacks: { onBatchEnd: () => void seen.push('batch') } });
    await fits.fit(model, { callbacks: [{ onBatchEnd: () => void seen.push('batch') }] });
    expect(seen).toHaveLength(16);
    const { early, plain } = callbacksFor(monitor, tfLayers, seen);
    await expect(fits.fit(model, { callbacks: [early, plain] as never })).rejects.toThrow(
      /setParams is not a function/,
    );
    await monitor.close();
  });

  test('works with trainers that tell only of the ends of batches', async () => {
    const model = build(tfLayers, 'functional');
    const monitor = monitorOf({ every: 2 });
    monitor.attach(model);
    const { onBatchEnd, onTrainEnd } = monitor;
    const [x, y] = [tf.tensor2d(xs), tf.tensor2d(ys)];
    for (let batch = 0; batch < 5; batch++) {
      const loss = (await model.trainOnBatch(x, y)) as number;
      await onBatchEnd(batch, { loss });
    }
    await onTrainEnd();
    expect((await stored(monitor)).steps).toEqual([0, 2, 4]);
    tf.dispose([x, y]);
  });
});

/** Backends that work on while values come to the host, as WebGL and WebGPU do: a stand-in whose downloads come when they may. */
import { MathBackendCPU } from '@tensorflow/tfjs-backend-cpu';
import * as tf from '@tensorflow/tfjs-core';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { watching } from './watching.ts';

/** Named as those are that bring values later. */
const backendName = 'webg-stand-in';

/** Downloads that wait, oldest first; each is let through by a call. */
const waiting: (() => void)[] = [];

class LateBackend extends MathBackendCPU {
  override async read(dataId: object): Promise<tf.backend_util.BackendValues> {
    await new Promise<void>((resolve) => waiting.push(resolve));
    return this.readSync(dataId);
  }
}

describe('a monitor on a backend that reads back later', () => {
  const { monitor: monitorOf, stored } = watching();
  let before: number;

  beforeAll(async () => {
    tf.env().set('PROD', true); // the backend for the processor recommends another one
    tf.registerBackend(backendName, () => new LateBackend());
    tf.copyRegisteredKernels('cpu', backendName);
    await tf.setBackend(backendName);
  });
  afterAll(() => tf.setBackend('cpu'));
  beforeEach(() => {
    before = tf.memory().numTensors;
  });
  afterEach(() => expect(tf.memory().numTensors).toBe(before));

  const train = (monitor: ReturnType<typeof monitorOf>): void => {
    const x = tf.ones([4, 3]);
    tf.dispose([tf.grad((of) => tf.sum(monitor.tap('h', tf.mul(of, 2))))(x), x]);
  };
  const settle = () => new Promise((resolve) => setTimeout(resolve, 5));

  test('samples the same steps, and waits for no more than the reading before', async () => {
    const monitor = monitorOf({ every: 2 });
    for (let step = 0; step < 4; step++) {
      train(monitor);
      // Nothing is read yet when this resolves.
      if (step < 2) await monitor.step({ loss: step });
      else void monitor.step({ loss: step });
    }
    expect(waiting).toHaveLength(2);
    expect(monitor.latest).toBeUndefined();
    waiting.splice(1, 1)[0]?.(); // the later one comes first
    await settle();
    expect(monitor.latest).toBeUndefined();
    waiting.shift()?.();
    await settle();
    expect(monitor.latest?.step).toBe(2);
    const { steps, scalars } = await stored(monitor);
    expect(steps).toEqual([0, 2]);
    expect(scalars['loss']).toEqual([0, 2]);
    expect(monitor.faults).toBe(0);
  });

  test('keeps no more than two steps of a loop that does not wait', async () => {
    const warnings: string[] = [];
    const monitor = monitorOf({}, warnings);
    for (let step = 0; step < 5; step++) {
      train(monitor);
      void monitor.step();
    }
    expect(monitor.faults).toBe(3);
    expect(warnings).toEqual([expect.stringMatching(/still being read: await monitor\.step\(\)/)]);
    const closing = stored(monitor);
    for (const letThrough of waiting.splice(0)) letThrough();
    expect((await closing).steps).toEqual([0, 1]);
  });
});

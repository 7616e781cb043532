/** What the monitor costs, in things that can be counted: calls, kernels, downloads. */
import * as tf from '@tensorflow/tfjs-core';
import { input, layers, type SymbolicTensor, model as tfModel } from '@tensorflow/tfjs-layers';
import { afterEach, beforeAll, beforeEach, expect, test } from 'vitest';
import { describeNative } from '../support/native.ts';
import { watching } from './watching.ts';

/** The native backend's ways to run a kernel, and to bring values to the host. */
interface Counted {
  executeSingleOutput(...parameters: unknown[]): unknown;
  executeMultipleOutputs(...parameters: unknown[]): unknown;
  readSync(...parameters: unknown[]): unknown;
}

interface Counts {
  kernels: number;
  downloads: number;
}

describeNative('the cost of a monitor', () => {
  const { monitor: monitorOf, stored } = watching();
  const width = 8;
  let before: number;
  beforeAll(() => {
    // The native backend under a name that the monitor does not know to keep tensors in host memory.
    const native = tf.backend();
    tf.registerBackend('device stand-in', () => native);
    tf.copyRegisteredKernels('tensorflow', 'device stand-in');
  });
  beforeEach(async () => {
    await tf.setBackend('tensorflow');
    before = tf.memory().numTensors;
  });
  afterEach(() => {
    tf.disposeVariables();
    expect(tf.memory().numTensors).toBe(before);
  });

  function build() {
    const inputs = input({ shape: [width] });
    const mixed = layers.dense({ units: width, name: 'mix' }).apply(inputs) as SymbolicTensor;
    return tfModel({ inputs, outputs: layers.add({ name: 'sum' }).apply([inputs, mixed]) as SymbolicTensor });
  }

  /** Counts what each step needs of the backend. */
  function counting(): { counts: Counts; stop: () => void } {
    const backend = tf.backend() as unknown as Counted;
    const counts = { kernels: 0, downloads: 0 };
    const wrap = (method: keyof Counted, key: keyof Counts): void => {
      const original = backend[method];
      backend[method] = (...parameters) => {
        counts[key] += 1;
        return original.apply(backend, parameters);
      };
    };
    wrap('executeSingleOutput', 'kernels');
    wrap('executeMultipleOutputs', 'kernels');
    wrap('readSync', 'downloads');
    const stop = (): void => {
      for (const method of ['executeSingleOutput', 'executeMultipleOutputs', 'readSync']) {
        Reflect.deleteProperty(backend, method);
      }
    };
    return { counts, stop };
  }

  test.each([
    // Activations and gradient of one site are read where they lie.
    ['no kernel and a read of each tensor where they lie on the host', 'tensorflow', 1 + 2],
    ['a few kernels and one download where they lie on a device', 'device stand-in', 1],
  ])('is nothing on steps that are not sampled; on those that are, %s', async (_, name, downloads) => {
    await tf.setBackend(name);
    const model = build();
    const optimizer = tf.train.sgd(0.01);
    const x = tf.ones([4, width]);
    const loss = (): tf.Scalar => tf.mean(tf.square(model.apply(x) as tf.Tensor));
    const steps = 7;
    const { counts, stop } = counting();
    /** What each step took, by training and by the end of the step; and whether layers were wrapped in it. */
    const course = (end: (step: number) => void) => {
      const seen: (Counts & { wrapped: boolean })[] = [];
      for (let step = 0; step < steps; step++) {
        Object.assign(counts, { kernels: 0, downloads: 0 });
        const wrapped = model.layers.some((layer) => Object.hasOwn(layer, 'call')) || Object.hasOwn(model, 'call');
        optimizer.minimize(loss);
        end(step);
        seen.push({ ...counts, wrapped });
      }
      return seen;
    };
    course(() => {}); // fills what TensorFlow.js caches
    const plain = course(() => {});
    const monitor = monitorOf({ every: 3 });
    monitor.attach(model);
    const watched = course((step) => monitor.stepSync({ loss: step }));
    stop();
    expect(plain.every(({ downloads, wrapped }) => downloads === 0 && !wrapped)).toBe(true);
    for (const [step, took] of watched.entries()) {
      if (step % 3 === 0) {
        expect(took).toMatchObject({ downloads, wrapped: true });
        const kernels = took.kernels - (plain[step]?.kernels as number);
        if (name === 'tensorflow') expect(kernels).toBe(0);
        else expect(kernels).toBeGreaterThan(5);
      } else expect(took).toEqual(plain[step]);
    }
    expect((await stored(monitor)).steps).toEqual([0, 3, 6]);
    tf.dispose(x);
    optimizer.dispose();
  });

  test('on a device hardly grows with the number of sites: those of one shape are reduced together', async () => {
    await tf.setBackend('device stand-in');
    const { counts, stop } = counting();
    const kernelsOf = (sites: number): number => {
      const monitor = monitorOf({ every: 1 });
      const x = tf.ones([4, width]);
      const step = () => {
        const through = (of: tf.Tensor) =>
          Array.from({ length: sites }).reduce<tf.Tensor>((at, __, site) => monitor.tap(`h${site}`, at), of);
        tf.grad((of) => tf.sum(through(of)))(x).dispose();
        monitor.stepSync();
      };
      step();
      counts.kernels = 0;
      step();
      x.dispose();
      return counts.kernels;
    };
    const [one, twenty] = [kernelsOf(1), kernelsOf(20)];
    stop();
    // One reshape of each tensor that is stacked.
    expect(twenty - one).toBeLessThanOrEqual(2 * 19 + 2);
  });

  test('is nothing in a fit but a look at the loss where it lies on the host', async () => {
    const model = build();
    const optimizer = tf.train.sgd(0.01);
    model.compile({ optimizer, loss: 'meanSquaredError' });
    const x = tf.ones([28, width]);
    const { counts, stop } = counting();
    const course = async (callbacks: object[]): Promise<Counts[]> => {
      const seen: Counts[] = [];
      const observe = { onBatchEnd: async () => void seen.push({ ...counts }) };
      await model.fit(x, x, {
        batchSize: 4,
        epochs: 1,
        verbose: 0,
        yieldEvery: 'never',
        callbacks: [...callbacks, observe] as never,
      });
      return seen.slice(1).map(({ kernels, downloads }, index) => {
        const last = seen[index] as Counts;
        return { kernels: kernels - last.kernels, downloads: downloads - last.downloads };
      });
    };
    await course([]);
    const plain = await course([]);
    const monitor = monitorOf({ every: 3 });
    const watched = await course([monitor]);
    stop();
    for (const [index, took] of watched.entries()) {
      const { kernels, downloads } = plain[index] as Counts;
      const isSampled = (index + 1) % 3 === 0;
      expect(took.downloads).toBe(downloads + (isSampled ? 3 : 1)); // the loss; activations and gradient of one site
      if (!isSampled) expect(took.kernels).toBe(kernels);
    }
    expect((await stored(monitor)).steps).toEqual([0, 3, 6]);
    tf.dispose(x);
    optimizer.dispose();
  });

  test('has a frame of a loss that stops being finite between sampled steps, and samples the next step', async () => {
    const model = build();
    const monitor = monitorOf({ every: 10 });
    monitor.attach(model);
    const x = tf.ones([4, width]);
    for (let step = 0; step < 16; step++) {
      tf.tidy(() => {
        const loss = tf.variableGrads(() => tf.mean(tf.square(model.apply(x) as tf.Tensor))).value;
        const scale = step === 4 || step === 13 ? Number.NaN : 1;
        // A number, and a tensor on a backend that computes on the host.
        monitor.stepSync({ loss: step < 10 ? (loss.dataSync()[0] as number) * scale : tf.mul(loss, scale) });
      });
    }
    const { steps, scalars } = await stored(monitor);
    expect(steps).toEqual([0, 4, 5, 10, 13, 14]);
    expect(scalars['loss']?.map((value) => typeof value === 'number')).toEqual([true, false, true, true, false, true]);
    expect(monitor.latest?.step).toBe(14);
    expect(monitor.faults).toBe(0);
    tf.dispose(x);
  });
});

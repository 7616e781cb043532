/** Models from another copy of tfjs-layers than the monitor's, as two versions of TensorFlow.js in one project give them. */
import { cpSync, mkdirSync, mkdtempSync, rmSync, symlinkSync } from 'node:fs';
import { createRequire } from 'node:module';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import * as tf from '@tensorflow/tfjs-core';
import * as tfLayers from '@tensorflow/tfjs-layers';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { describeNative } from '../support/native.ts';
import { build, callbacksFor, disposeModels, fits, type Layers } from './fits.ts';
import { requireQuietly } from './quietly.ts';
import { watching } from './watching.ts';

type Core = 'the same tfjs-core' | 'a second tfjs-core';

const scope = join(dirname(createRequire(import.meta.url).resolve('@tensorflow/tfjs-core/package.json')), '..');

function copyOfLayers(folder: string, core: Core): Layers {
  const into = join(folder, core.replaceAll(' ', '-'), 'node_modules', '@tensorflow');
  mkdirSync(into, { recursive: true });
  const copy = (name: string): void => {
    for (const part of ['package.json', `dist/${name.replace('tfjs', 'tf')}.node.js`]) {
      cpSync(join(scope, name, part), join(into, name, part));
    }
  };
  copy('tfjs-layers');
  if (core === 'a second tfjs-core') copy('tfjs-core');
  else symlinkSync(join(scope, 'tfjs-core'), join(into, 'tfjs-core'));
  return requireQuietly('@tensorflow/tfjs-layers', join(into, 'here.js'));
}

describeNative('a model from another copy of tfjs-layers', () => {
  const { monitor: monitorOf, stored } = watching();
  let folder: string;
  let before: number;
  beforeAll(() => {
    folder = mkdtempSync(join(tmpdir(), 'outlierscope-copy-'));
  });
  afterAll(() => rmSync(folder, { recursive: true }));
  beforeEach(() => {
    before = tf.memory().numTensors;
  });
  afterEach(() => {
    disposeModels();
    expect(tf.memory().numTensors).toBe(before);
  });

  describe.each<Core>(['the same tfjs-core', 'a second tfjs-core'])('above %s', (core) => {
    let copy: Layers;
    beforeAll(() => {
      copy = copyOfLayers(folder, core);
      expect(copy.LayersModel).not.toBe(tfLayers.LayersModel);
    });

    test('is watched where its fit hands it over', async () => {
      const monitor = monitorOf({ every: 3 });
      const { early, custom } = callbacksFor(monitor, copy, []);
      await fits.fit(build(copy, 'functional'), { callbacks: [early, monitor, custom] as never });
      const { steps, sites } = await stored(monitor);
      expect([steps, sites]).toEqual([[0, 3, 6, 7], ['sum']]);
      expect(monitor.faults).toBe(0);
    });

    test.each(['fit', 'fitDataset'] as const)(
      'is asked for before the first batch of %s where it is not',
      async (method) => {
        const model = build(copy, 'Sequential');
        const weights = model.getWeights().map((weight) => [...weight.dataSync()]);
        const monitor = monitorOf({ every: 3 });
        const attempts = [{ callbacks: monitor }, { callbacks: [monitor, { onEpochEnd: () => {} }] as never }];
        for (const attempt of attempts) {
          await expect(fits[method](model, attempt)).rejects.toThrow(/monitor\.attach\(model\) before fit/);
        }
        expect(model.getWeights().map((weight) => [...weight.dataSync()])).toEqual(weights);

        // The model is as it was: the same fit goes through once the monitor knows it.
        monitor.attach(model);
        for (const attempt of attempts) await fits[method](model, attempt);
        const { steps, sites, scalars } = await stored(monitor);
        expect(steps).toEqual([0, 3, 6, 9, 12, 15, 15]); // the last with what validation gave
        expect(sites).toEqual(['block/sum']);
        expect(scalars['learning_rate']?.[0]).toBeCloseTo(0.01, 6);
      },
    );
  });
});

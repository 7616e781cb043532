/** Measuring a model without training it: by the function, and by the command on a saved model. */
import { execFile } from 'node:child_process';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import * as tf from '@tensorflow/tfjs-core';
import { model as createModel, type LayersModel } from '@tensorflow/tfjs-layers';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { analyze } from '../../plugin/analyze.ts';
import { gpt } from '../../plugin/op-block/index.ts';
import { effectiveRank, kurtosis, toMatrix } from '../reference/metrics.ts';
import { describeNative } from '../support/native.ts';

const run = promisify(execFile);
const main = fileURLToPath(new URL('../../dist/cli/main.js', import.meta.url));
const width = 16;

describeNative('analyze', () => {
  let folder: string;
  let model: LayersModel;
  const tokens = Array.from({ length: 40 }, (_, row) =>
    Array.from({ length: 8 }, (__, column) => (row * 7 + column * 3) % 20),
  );

  beforeAll(async () => {
    folder = await mkdtemp(join(tmpdir(), 'outlierscope-analyze-'));
    model = gpt({ vocabulary: 20, width, blocks: 2, heads: 2, positions: 8, seed: 5 });
    await model.save({
      save: async (artifacts) => {
        const { modelTopology, weightSpecs, weightData } = artifacts;
        await writeFile(join(folder, 'weights.bin'), Buffer.from(tf.io.CompositeArrayBuffer.join(weightData)));
        await writeFile(
          join(folder, 'model.json'),
          JSON.stringify({ modelTopology, weightsManifest: [{ paths: ['weights.bin'], weights: weightSpecs }] }),
        );
        return { modelArtifactsInfo: { dateSaved: new Date(), modelTopologyType: 'JSON' } };
      },
    });
    await writeFile(join(folder, 'tokens.json'), JSON.stringify(tokens));
  });
  afterAll(() => rm(folder, { recursive: true }));

  test('measures all rows as one, over several batches, and leaves no tensor behind', () => {
    const input = tf.tensor2d(tokens, undefined, 'int32');
    const last = model.getLayer('h1_mlp_add');
    const output = createModel({ inputs: model.inputs, outputs: last.output as never }).predict(input) as tf.Tensor;
    const rows = toMatrix(output.dataSync(), 320, width);
    output.dispose();
    const before = tf.memory().numTensors;
    const { sites, skipped } = analyze(model, input, { batchSize: 16 });
    expect(tf.memory().numTensors).toBe(before);
    expect(skipped).toEqual([]);
    expect(sites.map(({ name, kind, width: d }) => [name, kind, d])).toEqual([
      ['h0_attention_add', 'residual', width],
      ['h0_mlp_add', 'residual', width],
      ['h1_attention_add', 'residual', width],
      ['h1_mlp_add', 'residual', width],
    ]);
    expect(sites[3]?.metrics.kurtosis).toBeCloseTo(kurtosis(rows), 5);
    expect(sites[3]?.metrics.gradient_rms).toBeUndefined();
    expect(sites[3]?.topNeurons).toHaveLength(5);
    const [whole] = analyze(model, input, { sites: ['h1_mlp_add'], batchSize: 64 }).sites;
    expect(whole?.metrics.effective_rank).toBeCloseTo(effectiveRank(rows), 3);
    input.dispose();
  });

  test('outlierscope analyze reads a saved model and says the same', async () => {
    const input = tf.tensor2d(tokens, undefined, 'int32');
    const expected = analyze(model, input);
    input.dispose();
    const args = [main, 'analyze', join(folder, 'model.json'), '--data', join(folder, 'tokens.json')];
    const { stdout } = await run(process.execPath, [...args, '--json']);
    const { sites } = JSON.parse(stdout) as ReturnType<typeof analyze>;
    expect(sites.map(({ name }) => name)).toEqual(expected.sites.map(({ name }) => name));
    for (const [index, site] of sites.entries()) {
      expect(site.metrics.kurtosis).toBeCloseTo(expected.sites[index]?.metrics.kurtosis as number, 5);
    }
    const table = (await run(process.execPath, [...args, '--sites', 'mlp'])).stdout;
    expect(table.split('\n')[0]).toMatch(/^site +width +kurtosis/);
    expect(table).toMatch(/^h0_mlp_in +64 /m);
  });

  test('says what does not fit', async () => {
    const fails = (...args: string[]) =>
      run(process.execPath, [main, 'analyze', ...args]).then(
        () => 'it did not fail',
        (error: { stderr: string }) => error.stderr,
      );
    const saved = join(folder, 'model.json');
    await writeFile(join(folder, 'flat.json'), '[1, 2, 3]');
    expect(await fails(saved, '--data', join(folder, 'flat.json'))).toMatch(
      /has shape \[3\] \(the model takes tokens: int32 \[any, any\]\)/,
    );
    expect(await fails(join(folder, 'none.json'), '--data', join(folder, 'tokens.json'))).toMatch(
      /cannot load the model .*none\.json/,
    );
    expect(await fails(saved, '--data', join(folder, 'tokens.json'), '--sites', 'h9')).toMatch(/no layer matches h9/);
  });
});

/** Loads a model that `model.save` wrote, from the file system, on any backend. */
import { readFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import type { io } from '@tensorflow/tfjs-core';
import { type LayersModel, loadLayersModel } from '@tensorflow/tfjs-layers';
import { messageOf, OutlierscopeError } from '../../src/errors.ts';

/** @throws OutlierscopeError `cannot-load-model` for a file that is missing, no layers model, or has layers of unknown classes. */
export async function loadModel(path: string): Promise<LayersModel> {
  try {
    return await loadLayersModel({ load: () => readArtifacts(path) });
  } catch (error) {
    const unknown = /Unknown layer: (\S+?)\./.exec(messageOf(error))?.[1];
    throw new OutlierscopeError(`cannot load the model ${path}: ${messageOf(error).split('\n')[0]}`, {
      code: 'cannot-load-model',
      hint:
        unknown === undefined
          ? 'give the model.json that model.save wrote, with its weight files beside it'
          : `give the module that registers the class ${unknown} with --classes FILE`,
      cause: error,
    });
  }
}

interface ModelFile {
  readonly modelTopology?: unknown;
  readonly weightsManifest?: readonly {
    readonly paths: readonly string[];
    readonly weights: io.WeightsManifestEntry[];
  }[];
}

async function readArtifacts(path: string): Promise<io.ModelArtifacts> {
  const { modelTopology, weightsManifest } = JSON.parse(await readFile(path, 'utf8')) as ModelFile;
  if (typeof modelTopology !== 'object' || modelTopology === null) throw new Error('it has no modelTopology');
  const groups = weightsManifest ?? [];
  const files = groups.flatMap(({ paths }) => paths.map((name) => readFile(join(dirname(path), name))));
  const weights = Buffer.concat(await Promise.all(files));
  return {
    modelTopology,
    weightSpecs: groups.flatMap((group) => group.weights),
    weightData: weights.buffer.slice(weights.byteOffset, weights.byteOffset + weights.byteLength) as ArrayBuffer,
  };
}

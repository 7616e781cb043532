/** Inputs for a model from a JSON file: nested lists of numbers, one list for each input of the model. */
import { readFile } from 'node:fs/promises';
import * as tf from '@tensorflow/tfjs-core';
import type { LayersModel } from '@tensorflow/tfjs-layers';
import { messageOf, OutlierscopeError } from '../../src/errors.ts';

/** Tensors in the order of the model's inputs; the caller disposes them. @throws OutlierscopeError `bad-inputs` naming what does not fit. */
export async function readInputs(path: string, model: LayersModel): Promise<tf.Tensor[]> {
  let json: unknown;
  try {
    json = JSON.parse(await readFile(path, 'utf8'));
  } catch (error) {
    throw badInputs(`cannot read ${path}: ${messageOf(error)}`, model);
  }
  const { inputs } = model;
  const lists = inputs.length === 1 ? [json] : json;
  if (!Array.isArray(lists) || lists.length !== inputs.length) {
    throw badInputs(`${path} holds no list of ${inputs.length} inputs`, model);
  }
  return inputs.map((input, index) => {
    let tensor: tf.Tensor;
    try {
      tensor = tf.tensor(lists[index] as tf.TensorLike, undefined, input.dtype);
    } catch (error) {
      throw badInputs(`input ${input.name} in ${path} is no regular array of numbers: ${messageOf(error)}`, model);
    }
    const fits =
      tensor.rank === input.shape.length &&
      input.shape.every((length, axis) => length === null || length === tensor.shape[axis]);
    if (!fits) throw badInputs(`input ${input.name} in ${path} has shape [${tensor.shape.join(', ')}]`, model);
    return tensor;
  });
}

function badInputs(what: string, { inputs }: LayersModel): OutlierscopeError {
  const wanted = inputs.map(
    ({ name, shape, dtype }) => `${name}: ${dtype} [${shape.map((length) => length ?? 'any').join(', ')}]`,
  );
  return new OutlierscopeError(what, { code: 'bad-inputs', hint: `the model takes ${wanted.join('; ')}` });
}

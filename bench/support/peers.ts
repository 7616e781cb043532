/**
 * What people do today instead, written as they do it: each watches the steps that it is called around. The peers are given
 * the same sites as the monitor, and no more work than their purpose needs.
 */
import * as tf from '@tensorflow/tfjs-core';
import { type Callback, model as createModel, type LayersModel, type SymbolicTensor } from '@tensorflow/tfjs-layers';
import type { Company } from './training.ts';

/** tfjs-node's TensorBoard callback on steps at which it writes: the batch's loss, then a histogram of every weight. */
export function tensorBoardPeer(callback: Callback, model: LayersModel): Company {
  callback.setModel(model);
  let step = 0;
  return {
    async onBatchEnd(batch, logs) {
      await callback.onBatchEnd(batch, logs as Record<string, number>);
      // The callback writes histograms at the end of an epoch only: whoever wants them every 10 steps has epochs of 10 steps.
      await callback.onEpochEnd(step++, {});
    },
  };
}

/** A second model with the same weights that puts out the residual stream, run on the step's batch: kurtosis alone. */
export function probeModelPeer(model: LayersModel, inputs: tf.Tensor2D, batchSize: number): Company {
  const probe = createModel({
    inputs: model.inputs,
    outputs: residualLayers(model).map((layer) => layer.output as SymbolicTensor),
  });
  return {
    async onBatchEnd(batch) {
      const kurtoses = tf.tidy(() => {
        const outputs = probe.predict(tf.slice(inputs, batch * batchSize, batchSize)) as tf.Tensor[];
        return tf.stack(outputs.map(kurtosis));
      });
      await kurtoses.data();
      kurtoses.dispose();
    },
  };
}

/** He et al.'s own statistics, on tensors that wrapped layers leave in the step. */
export function gramPeer(model: LayersModel): Company {
  const watched = residualLayers(model);
  const kept: tf.Tensor[] = [];
  return {
    async onBatchBegin() {
      for (const layer of watched) {
        const { call } = layer;
        layer.call = (callInputs, kwargs) => {
          const output = call.call(layer, callInputs, kwargs) as tf.Tensor;
          kept.push(tf.keep(tf.clone(output)));
          return output;
        };
      }
    },
    async onBatchEnd() {
      for (const layer of watched) Reflect.deleteProperty(layer, 'call');
      const statistics = tf.tidy(() => tf.concat(kept.splice(0).map(authorsStatistics)));
      await statistics.data();
      statistics.dispose();
    },
  };
}

/** Every output of an Add layer, as the monitor's default sites. */
function residualLayers(model: LayersModel): LayersModel['layers'] {
  return model.layers.filter((layer) => layer.getClassName() === 'Add');
}

/** He et al., Eq. 1. */
function kurtosis(x: tf.Tensor): tf.Tensor {
  const squares = tf.mean(tf.square(x), [0, 1]); // [d]: s_j^2
  return tf.div(tf.mean(tf.square(squares)), tf.square(tf.mean(squares)));
}

/**
 * The outlier statistics that the authors' trainer reports (bobby-he/simplified_transformers, train_utils.py), of
 * X [B, T, d]: both Gram matrices in full, and the median of every row. Disposes X. Gives [5].
 */
export function authorsStatistics(x: tf.Tensor): tf.Tensor {
  const [batch, positions, d] = x.shape as [number, number, number];
  const n = batch * positions;
  const centred = tf.sub(x, tf.mean(x, -1, true));
  x.dispose();
  const rms = tf.sqrt(tf.mean(tf.square(centred)));
  const flat = tf.div(tf.reshape(centred, [n, d]), rms) as tf.Tensor2D; // [n, d]
  const features = tf.div(tf.matMul(flat, flat, true, false), n); // [d, d]
  const diagonal = tf.sum(tf.mul(features, tf.eye(d)), 0); // [d]
  const inputs = tf.div(tf.matMul(flat, flat, false, true), d); // [n, n]
  const correlations = offDiagonal(inputs);
  const magnitudes = tf.abs(centred);
  const fromLowerMedianUp = d - ((d - 1) >> 1);
  const { values } = tf.topk(magnitudes, fromLowerMedianUp);
  const medians = tf.slice(values, [0, 0, fromLowerMedianUp - 1], [batch, positions, 1]);
  return tf.stack([
    tf.moments(diagonal).variance,
    tf.sqrt(tf.mean(tf.square(offDiagonal(features)))),
    tf.mean(correlations),
    tf.sqrt(tf.mean(tf.square(correlations))),
    tf.mean(tf.div(tf.max(magnitudes, -1, true), medians)),
  ]);
}

/** The entries of a square matrix [k, k] off its diagonal, as [k - 1, k]. */
function offDiagonal(matrix: tf.Tensor): tf.Tensor {
  const k = matrix.shape[0] as number;
  const rest = tf.slice(tf.reshape(matrix, [-1]), 1, k * k - 1);
  return tf.slice(tf.reshape(rest, [k - 1, k + 1]), [0, 0], [k - 1, k]);
}

/** What the reference makes of tensors, for comparison with what a monitor measured. */
import * as tf from '@tensorflow/tfjs-core';
import type { StepMeasurement } from 'outlierscope';
import { expect } from 'vitest';
import { inputCorrelation, kurtosis, type Matrix, rms, toMatrix } from '../reference/metrics.ts';

/** The rows of all tensors [..., width], one after the other. */
export function rowsOf(...tensors: tf.Tensor[]): Matrix {
  return tensors.flatMap((tensor) => {
    const width = tensor.shape[tensor.rank - 1] as number;
    return toMatrix(tensor.dataSync(), tensor.size / width, width);
  });
}

/** Expects of a site what the definitions say of these rows, as far as float32 goes. */
export function expectMeasured(latest: StepMeasurement | undefined, site: string, rows: Matrix): void {
  const metrics = latest?.sites.get(site)?.metrics ?? {};
  expect([site, metrics.kurtosis]).toEqual([site, expect.closeTo(kurtosis(rows), 3)]);
  expect([site, metrics.rms]).toEqual([site, expect.closeTo(rms(rows), 4)]);
  expect([site, metrics.input_correlation]).toEqual([site, expect.closeTo(inputCorrelation(rows), 4)]);
}

/** tf.tidy for work whose result is no tensor. */
export function tidily<Result>(work: () => Result): Result {
  tf.engine().startScope();
  try {
    return work();
  } finally {
    tf.engine().endScope();
  }
}

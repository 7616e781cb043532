/**
 * Tests on a backend of TensorFlow.js. One backend a test file: each has a process of its own then, and the kernels of two
 * backends loaded together would warn about each other.
 */
import * as tf from '@tensorflow/tfjs-core';
import '@tensorflow/tfjs-layers'; // brings the gradients of all operations
import { type DescribeBlock, describeUnless } from './require-components.ts';

export type BackendName = 'tensorflow' | 'wasm' | 'cpu';

/** Starts the backend in this process; resolves to a `describe` for what needs it. */
export async function describeOn(backend: BackendName): Promise<DescribeBlock> {
  if (backend === 'tensorflow') return (await import('./native.ts')).describeNative;
  if (backend === 'wasm') await import('@tensorflow/tfjs-backend-wasm');
  else await import('@tensorflow/tfjs-backend-cpu');
  // The first tensor in plain JavaScript prints an advertisement of the native backend, unless this flag is set.
  const isProduction = tf.env().getBool('PROD');
  tf.env().set('PROD', true);
  const started = await tf.setBackend(backend);
  await tf.ready();
  tf.scalar(0).dispose();
  tf.env().set('PROD', isProduction);
  return describeUnless(started ? undefined : `the backend ${backend} does not start here`);
}

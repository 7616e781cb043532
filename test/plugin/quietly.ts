/** Loading further copies of TensorFlow.js without their remarks about each other. */
import { createRequire } from 'node:module';
import * as tf from '@tensorflow/tfjs-core';

/** `require(name)` as of a module at `from`; TensorFlow.js's own flag PROD is silence. */
export function requireQuietly<Module>(name: string, from: string): Module {
  const before = tf.env().getBool('PROD');
  tf.env().set('PROD', true);
  try {
    return createRequire(from)(name) as Module;
  } finally {
    tf.env().set('PROD', before);
  }
}

/** What a figure was measured on: without it, it says nothing. */
import { cpus, loadavg, totalmem } from 'node:os';
import * as tf from '@tensorflow/tfjs-core';
import type { NativeBackend } from '../../cli/native/load.ts';

export interface Machine {
  readonly processor: string;
  readonly cores: number;
  readonly memory_gib: number;
  readonly node: string;
  readonly tfjs: string;
  readonly tensorflow: string;
  readonly backend: string;
  /** Runnable threads over the last minute, before the benchmark: near 0 on a quiet machine. */
  readonly load: number;
}

export function describeMachine(native: NativeBackend): Machine {
  return {
    processor: cpus()[0]?.model.trim() ?? 'unknown',
    cores: cpus().length,
    memory_gib: Math.round(totalmem() / 2 ** 30),
    node: process.versions.node,
    tfjs: tf.version_core,
    tensorflow: native.tensorflowVersion,
    backend: tf.getBackend(),
    load: Math.round((loadavg()[0] ?? Number.NaN) * 100) / 100,
  };
}

export function machineInWords(machine: Machine): string {
  const { processor, cores, memory_gib, node, tfjs, tensorflow, backend, load } = machine;
  return (
    `${processor}, ${cores} cores, ${memory_gib} GiB memory; Node ${node}, TensorFlow.js ${tfjs}, ` +
    `TensorFlow ${tensorflow}, backend ${backend}; load average before the start ${load}`
  );
}

/** `outlierscope analyze`: load, measure, tell. */
import { resolve } from 'node:path';
import { pathToFileURL } from 'node:url';
import * as tf from '@tensorflow/tfjs-core';
import '../../plugin/op-block/index.ts'; // registers the classes of our own layers
import { type Analysis, analyze } from '../../plugin/analyze.ts';
import type { MonitorOptions } from '../../plugin/options.ts';
import { type BackendChoice, chooseBackend } from '../backend.ts';
import { createProgress } from '../progress.ts';
import { loadModel } from './load-model.ts';
import { readInputs } from './read-inputs.ts';

export interface AnalyzeRequest {
  readonly model: string;
  readonly data: string;
  readonly classes: readonly string[];
  readonly backend: BackendChoice;
  readonly options: MonitorOptions;
}

/** Measures a saved model on given data. */
export async function runAnalyze({ model: path, data, classes, backend, options }: AnalyzeRequest): Promise<Analysis> {
  const progress = createProgress(process.stderr, process.env);
  await chooseBackend(backend, { progress, signal: new AbortController().signal, setup: 'never' });
  for (const module of classes) await import(pathToFileURL(resolve(module)).href);
  const model = await loadModel(path);
  const inputs = await readInputs(data, model);
  try {
    return analyze(model, inputs, options);
  } finally {
    tf.dispose(inputs);
    model.dispose();
  }
}

/** A table for a person: sites down, metrics across. */
export function inWords({ sites, skipped }: Analysis): string {
  const metrics = [...new Set(sites.flatMap((site) => Object.keys(site.metrics)))];
  const rows = [
    ['site', 'width', ...metrics, 'top neurons'],
    ...sites.map((site) => [
      site.name,
      String(site.width),
      ...metrics.map((name) => figure((site.metrics as Record<string, number>)[name])),
      site.topNeurons.map(({ neuron, share }) => `${neuron} (${(100 * share).toFixed(1)} %)`).join(' '),
    ]),
  ];
  const widths = (rows[0] as string[]).map((_, column) =>
    Math.max(...rows.map((row) => (row[column] as string).length)),
  );
  const table = rows.map((row) =>
    row
      .map((cell, column) => cell.padEnd(widths[column] as number))
      .join('  ')
      .trimEnd(),
  );
  return [...table, ...skipped.map(({ name, reason }) => `left out ${name}: ${reason}`)].join('\n');
}

function figure(value: number | undefined): string {
  if (value === undefined) return '';
  return Number.isInteger(value) ? String(value) : value.toPrecision(4);
}

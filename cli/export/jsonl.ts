/** JSON Lines: the whole run, first what it is, then a line for each frame, then one for each alert. Conventions of docs/api.md. */
import type { Frame } from '../../src/frame.ts';
import type { ExportFile, Format, Source } from './format.ts';
import { type Column, forEachMeasured, topNeuronsOf } from './selection.ts';

export const jsonl: Format = {
  content: 'text',
  single: file,
  all: (source) => [file(source)],
};

function file(source: Source): ExportFile {
  return { name: 'run.jsonl', pieces: lines(source) };
}

async function* lines(source: Source): AsyncIterable<string> {
  const { id, description, progress } = source.run;
  const { rules, ...standing } = progress;
  yield line({ type: 'run', run: id, ...description, ...standing });
  for await (const frame of source.frames()) yield line({ type: 'frame', run: id, ...viewOf(frame, source) });
  for (const { runId, ...alert } of source.alerts) yield line({ ...alert, type: 'alert', run: runId });
}

function viewOf(frame: Frame, { selection: { columns, sites } }: Source): object {
  const { sequence, step, time } = frame;
  const scalars: [string, number | string][] = [];
  const values = new Map<string, [string, number | string][]>(sites.map(({ name }) => [name, []]));
  forEachMeasured(frame, columns, (value, position) => {
    const { site, metric } = columns[position] as Column;
    (site === null ? scalars : values.get(site))?.push([metric, jsonNumber(value)]);
  });
  return {
    sequence,
    step,
    time,
    scalars: Object.fromEntries(scalars),
    sites: sites.map(({ name, index }) => ({
      site: name,
      values: Object.fromEntries(values.get(name) ?? []),
      topNeurons: topNeuronsOf(frame, index),
    })),
  };
}

function jsonNumber(value: number): number | string {
  return Number.isFinite(value) ? value : String(value);
}

function line(value: object): string {
  return `${JSON.stringify(value)}\n`;
}

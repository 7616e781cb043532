/** CSV (RFC 4180, but for line feeds as line ends): one row for each number that was measured. */
import type { Frame } from '../../src/frame.ts';
import { type ExportFile, type Format, isoTime, type Source } from './format.ts';
import { forEachMeasured, topNeuronsOf } from './selection.ts';

export const csv: Format = {
  content: 'text',
  single: valuesFile,
  all: (source) => [valuesFile(source), neuronsFile(source), alertsFile(source)],
};

function valuesFile(source: Source): ExportFile {
  return { name: 'values.csv', pieces: values(source) };
}

async function* values({ run, selection: { columns }, frames }: Source): AsyncIterable<string> {
  yield 'run,sequence,step,time,site,metric,value\n';
  const labels = columns.map(({ site, metric }) => `,${site === null ? '' : cell(site)},${cell(metric)},`);
  for await (const frame of frames()) {
    const start = startOf(run.id, frame);
    let rows = '';
    forEachMeasured(frame, columns, (value, position) => {
      rows += `${start}${labels[position]}${value}\n`;
    });
    if (rows !== '') yield rows;
  }
}

function neuronsFile({ run, selection: { sites }, frames }: Source): ExportFile {
  async function* pieces(): AsyncIterable<string> {
    yield 'run,sequence,step,time,site,rank,neuron,share\n';
    const labels = sites.map(({ name }) => cell(name));
    for await (const frame of frames()) {
      const start = startOf(run.id, frame);
      let rows = '';
      for (const [position, { index }] of sites.entries()) {
        for (const [rank, { neuron, share }] of topNeuronsOf(frame, index).entries())
          rows += `${start},${labels[position]},${rank + 1},${neuron},${share}\n`;
      }
      if (rows !== '') yield rows;
    }
  }
  return { name: 'top_neurons.csv', pieces: pieces() };
}

function alertsFile({ run, alerts }: Source): ExportFile {
  async function* pieces(): AsyncIterable<string> {
    yield 'run,rule,severity,state,metric,site,value,step,started_step,started_at,ended_at,summary\n';
    for (const alert of alerts) {
      const { rule, severity, state, metric, site, value, step, startedStep, startedAt, endedAt, summary } = alert;
      const times = [isoTime(startedAt), endedAt === null ? '' : isoTime(endedAt)];
      const cells = [run.id, cell(rule), severity, state, cell(metric), cell(site), value, step, startedStep, ...times];
      yield `${cells.join(',')},${cell(summary)}\n`;
    }
  }
  return { name: 'alerts.csv', pieces: pieces() };
}

/** Run ids need no quotes. */
function startOf(runId: string, { sequence, step, time }: Frame): string {
  return `${runId},${sequence},${step},${isoTime(time)}`;
}

/**
 * A text of somebody else's as a cell. A spreadsheet takes a cell that begins with one of these for a formula, which can fetch
 * addresses or start programs: an apostrophe before it makes it text.
 */
function cell(text: string): string {
  const safe = /^[=+\-@\t\r\n]/.test(text) ? `'${text}` : text;
  return /[",\r\n]/.test(safe) ? `"${safe.replaceAll('"', '""')}"` : safe;
}

/** Runs as the registry holds them, and their text, without a server. */
import { ByteWriter, createChunkPool } from '../../../server/exposition/byte-writer.ts';
import { families } from '../../../server/exposition/families.ts';
import { endings, type Format } from '../../../server/exposition/formats.ts';
import { inSlices, renderRuns } from '../../../server/exposition/render.ts';
import { selectSeries } from '../../../server/exposition/selection.ts';
import { createPeaks } from '../../../server/peaks.ts';
import { afterFrame, afterHello, type RunRecord } from '../../../server/run-record.ts';
import type { LiveRun } from '../../../server/runs.ts';
import type { Frame } from '../../../src/frame.ts';
import type { Hello } from '../../../src/messages.ts';
import type { Rule } from '../../../src/rules.ts';

export const arrival = 1_700_000_100_250;

export function liveRun(hello: Hello, rules: readonly Rule[], ...frames: Frame[]): LiveRun {
  let record: RunRecord = afterHello(undefined, hello, arrival);
  const peaks = createPeaks(60_000);
  for (const frame of frames) {
    record = afterFrame(record, frame, rules, arrival)?.record ?? record;
    peaks.observe(record.description, frame, arrival);
  }
  return { record, latest: frames.at(-1), peaks };
}

export async function render(
  runs: readonly LiveRun[],
  rules: readonly Rule[] = [],
  format: Format = 'text',
  limits = { runSeries: 1e6, scrapeSeries: 1e6 },
): Promise<string> {
  const writer = new ByteWriter(createChunkPool());
  const selection = selectSeries(runs, families, rules, limits);
  await inSlices(renderRuns(selection, { writer, format, rules, cache: new Map(), now: arrival }), 1);
  return Buffer.concat([...writer.finish(), Buffer.from(endings[format])]).toString();
}

export interface ParsedSample {
  readonly name: string;
  readonly labels: Readonly<Record<string, string>>;
  readonly value: number;
}

/** Samples of either format, read by their grammar and not by how they are written here. */
export function parseSamples(text: string): ParsedSample[] {
  const lines = text.split('\n').filter((line) => line !== '' && !line.startsWith('#'));
  return lines.map((line) => {
    const found = /^([a-zA-Z_:][\w:]*)(?:\{((?:[a-zA-Z_]\w*="(?:[^"\\\n]|\\[\\"n])*",?)*)\})? (\S+)$/.exec(line);
    if (found === null) throw new Error(`no sample: ${line}`);
    const [, name = '', labels = '', value = ''] = found;
    const pairs = [...labels.matchAll(/(\w+)="((?:[^"\\]|\\.)*)"/g)].map(([, label = '', content = '']) => [
      label,
      content.replace(/\\(.)/g, (_, character: string) => (character === 'n' ? '\n' : character)),
    ]);
    return { name, labels: Object.fromEntries(pairs) as Record<string, string>, value: numberOf(value) };
  });
}

function numberOf(text: string): number {
  if (text === '+Inf') return Number.POSITIVE_INFINITY;
  return text === '-Inf' ? Number.NEGATIVE_INFINITY : Number(text);
}

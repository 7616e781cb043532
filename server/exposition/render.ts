/** A selection of series as text, in steps: whoever drives them decides when others have their turn. */

import type { Rule } from '../../src/rules.ts';
import type { RunDescription } from '../run-record.ts';
import type { ByteWriter } from './byte-writer.ts';
import { type Format, headOf } from './formats.ts';
import { labelsOf, type RunLabels } from './labels.ts';
import type { Selection, Share } from './selection.ts';

/** Labels by run id. They hold for a description, which only a hello or a declare replaces, and a list of rules. */
export type LabelCache = Map<string, CachedLabels>;

interface CachedLabels {
  readonly description: RunDescription;
  readonly rules: readonly Rule[];
  readonly labels: RunLabels;
}

export interface RenderSetting {
  readonly writer: ByteWriter;
  readonly format: Format;
  readonly rules: readonly Rule[];
  readonly cache: LabelCache;
  /** Milliseconds since 1970. */
  readonly now: number;
}

/** Samples between two steps: a fraction of a millisecond. */
const stepSamples = 512;

/** Family by family, in each run by run, as the formats ask for; families without samples are left out. */
export function* renderRuns({ families, shares }: Selection, setting: RenderSetting): Generator<void, void> {
  const { writer, format, rules, cache, now } = setting;
  const labels: RunLabels[] = [];
  for (const { run } of shares) {
    labels.push(cachedLabels(cache, run.record.id, run.record.description, rules));
    yield;
  }
  for (const [index, family] of families.entries()) {
    const head = Buffer.from(headOf(family, format));
    const name = Buffer.from(family.name);
    const before = writer.samples;
    let stepped = before;
    writer.bytes(head);
    for (let place = 0; place < shares.length; place++) {
      const { run, most } = shares[place] as Share;
      const allowed = most === undefined ? Number.POSITIVE_INFINITY : (most[index] as number);
      if (allowed === 0) continue;
      family.samples(run, { writer, name, labels: labels[place] as RunLabels, rules, now }, allowed);
      if (writer.samples < stepped + stepSamples) continue;
      stepped = writer.samples;
      yield;
    }
    if (writer.samples === before) writer.takeBack(head.length);
    yield;
  }
}

function cachedLabels(cache: LabelCache, id: string, description: RunDescription, rules: readonly Rule[]): RunLabels {
  const ready = cache.get(id);
  if (ready?.description === description && ready.rules === rules) return ready.labels;
  const labels = labelsOf(id, description, rules);
  cache.set(id, { description, rules, labels });
  return labels;
}

/** Runs the steps to their end; whoever waits for the event loop has it after each slice of that time. */
export async function inSlices(steps: Generator<void, void>, milliseconds: number): Promise<void> {
  let end = performance.now() + milliseconds;
  while (steps.next().done !== true) {
    if (performance.now() < end) continue;
    await new Promise((resolve) => setImmediate(resolve));
    end = performance.now() + milliseconds;
  }
}

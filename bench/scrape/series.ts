/** The runs that the benchmark scrapes: 100 runs x 100 sites x 10 families of sites, and what every run has once. */
import type { RunRegistry } from '../../server/runs.ts';
import { siteMetrics } from '../../src/catalogue.ts';
import type { Frame } from '../../src/frame.ts';
import type { Hello } from '../../src/messages.ts';
import { built } from '../support/built.ts';

export const shape = { runs: 100, sites: 100, metrics: 9 } as const;

export interface LiveSeries {
  readonly registry: RunRegistry;
  /** Gives every run a frame with new values. */
  renew(): void;
}

export async function createLiveSeries(random: () => number): Promise<LiveSeries> {
  const { createRunRegistry } = await built<typeof import('../../server/runs.ts')>('server/runs.js');
  const { afterFrame, afterHello } = await built<typeof import('../../server/run-record.ts')>('server/run-record.js');
  const registry = createRunRegistry(300_000, Date.now);
  const runIds = Array.from({ length: shape.runs }, (_, run) => `20260101-120000-${String(run).padStart(6, '0')}`);
  for (const runId of runIds) registry.adopt(afterHello(undefined, helloOf(runId), Date.now()));
  let sequence = 0;
  return {
    registry,
    renew() {
      for (const runId of runIds) {
        const record = registry.get(runId);
        if (record === undefined) throw new Error(`run ${runId} is gone`);
        const frame = frameOf(sequence, random);
        const after = afterFrame(record, frame, [], Date.now());
        if (after === undefined) continue;
        registry.adopt(after.record, frame);
        registry.observe(after.record, frame);
      }
      sequence += 1;
    },
  };
}

function helloOf(runId: string): Hello {
  return {
    type: 'hello',
    protocol: 1,
    runId,
    runName: `gpt-mini ${runId}`,
    catalogue: 1,
    startedAt: Date.now(),
    sites: Array.from({ length: shape.sites }, (_, site) => ({
      name: `h${Math.floor(site / 2)}/${site % 2 === 0 ? 'attention' : 'residual'}`,
      kind: 'residual',
      path: `model/${site}`,
      width: 768,
    })),
    metrics: siteMetrics.slice(0, shape.metrics).map(({ name }) => name),
    scalars: ['loss', 'learning_rate'],
    topNeurons: 0,
    tags: { host: 'node-1' },
    config: { model: 'gpt-mini' },
  };
}

/** Values of many sizes, each with all the digits that a float32 has. */
function frameOf(sequence: number, random: () => number): Frame {
  return {
    sequence,
    step: sequence * 10,
    time: Date.now(),
    scalars: Float64Array.of(1 + random(), random() / 1000),
    values: Float32Array.from({ length: shape.sites * shape.metrics }, () => 10 ** (5 * random() - 3)),
    topNeurons: { count: 0, indices: new Uint32Array(), shares: new Float32Array() },
  };
}

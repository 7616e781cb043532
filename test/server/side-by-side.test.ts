/**
 * Three servers side by side behind nginx, configured as docs/scale.md says, and one VictoriaMetrics that sees them all. Servers end, by
 * kill -9 and by SIGTERM, while trainers send: what was acknowledged is in one of the stores, and their union is whole.
 */
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, test, vi } from 'vitest';
import { openReadOnlyStore } from '../../server/read-only-store.ts';
import type { RunSummary } from '../../server/views.ts';
import { readDocument } from '../docs/markdown.ts';
import { startNginx } from '../support/nginx.ts';
import { freePort, type RunningProcess } from '../support/process.ts';
import { requireComponents } from '../support/require-components.ts';
import { kill, reportOf, type Scope, startScope, startTrainer, upTo } from '../support/scope.ts';
import { type QueryableServer, startVictoriaMetrics, type TestServer } from '../support/servers.ts';

const jobs = 9;
const frames = 3000;

interface Server {
  readonly port: number;
  readonly database: string;
  scope: Scope;
}

/** The documented configuration with this test's addresses: what stands before `server`, and what stands in it. */
function nginxConfig(ports: readonly number[]): [inside: string, before: string] {
  const block = /```nginx\n(.*?)^server \{\n(.*?)^\}\n```/ms.exec(readDocument('scale.md'));
  if (block === null) throw new Error('docs/scale.md no longer has the configuration of nginx');
  const [, before = '', inside = ''] = block;
  const own = ports.reduce(
    (text, port, index) => text.replace(`10.0.0.${index + 1}:9877`, `127.0.0.1:${port}`),
    before,
  );
  if (own.includes('10.0.0.')) throw new Error('docs/scale.md names other servers');
  return [inside.replace(/^ *listen 9877;\n/m, ''), own];
}

requireComponents(['nginx', 'victoria-metrics'])('three servers', () => {
  let folder: string;
  let servers: Server[];
  let nginx: TestServer;
  let victoria: QueryableServer;
  const trainers: RunningProcess[] = [];

  beforeEach(async () => {
    folder = mkdtempSync(join(tmpdir(), 'outlierscope-side-by-side-'));
    servers = [];
    for (const index of [0, 1, 2]) {
      const port = await freePort();
      const database = join(folder, `runs-${index}.db`);
      servers.push({ port, database, scope: await startScope(database, port, ['--trusted-proxy', '127.0.0.1']) });
    }
    nginx = await startNginx(...nginxConfig(servers.map(({ port }) => port)));
    const http_sd_configs = servers.map(({ scope }) => ({ url: `${scope.url}/api/sd` }));
    const scrapeFile = join(folder, 'scrape.json');
    writeFileSync(
      scrapeFile,
      JSON.stringify({
        global: { scrape_interval: '200ms' },
        scrape_configs: [{ job_name: 'outlierscope', http_sd_configs }],
      }),
    );
    victoria = await startVictoriaMetrics({ flags: [`-promscrape.config=${scrapeFile}`] });
  });
  afterEach(async () => {
    await Promise.all(trainers.splice(0).map((trainer) => trainer.stop()));
    await nginx.stop();
    await victoria.stop();
    await Promise.all(servers.map(({ scope }) => scope.process.stop()));
    rmSync(folder, { recursive: true });
  });

  const runsOf = async ({ scope }: Server): Promise<RunSummary[]> => {
    const answer = (await (await fetch(`${scope.url}/api/runs`)).json()) as { runs: RunSummary[] };
    return answer.runs;
  };

  /** The sequence numbers of each run in a database, read beside whatever owns it. */
  async function stored({ database }: Server): Promise<Map<string, number[]>> {
    const store = openReadOnlyStore(database);
    try {
      const found = new Map<string, number[]>();
      for (const { id } of await store.runs()) {
        const sequences: number[] = [];
        const everything = { from: 0, to: Number.MAX_SAFE_INTEGER, lastSequence: Number.MAX_SAFE_INTEGER };
        for await (const page of store.frames(id, everything))
          sequences.push(...page.map(({ frame }) => frame.sequence));
        found.set(id, sequences);
      }
      return found;
    } finally {
      await store.close();
    }
  }

  test('share the jobs; trainers of a server that ends go on at another one, and nothing is lost', async () => {
    const ids = upTo(jobs).map((index) => `run-${index}`);
    for (const [index, runId] of ids.entries()) {
      const url = `${nginx.url.replace('http', 'ws')}/jobs/job-${index % jobs}`;
      trainers.push(await startTrainer({ runId, url, frames, pauseMilliseconds: 5 }));
    }
    await vi.waitFor(async () => {
      const runs = (await Promise.all(servers.map(runsOf))).flat();
      expect(runs.filter((run) => run.frames > 50)).toHaveLength(jobs);
    }, 30_000);

    // The server with the most runs is killed, the one with the most of the rest drained.
    const held = await Promise.all(servers.map(async (server) => ({ server, runs: await runsOf(server) })));
    const [killed, drained] = held.toSorted((one, other) => other.runs.length - one.runs.length);
    if (killed === undefined || drained === undefined) throw new Error('there are three servers');
    await kill(killed.server.scope.process);
    // One that is nearly done may end before it would have to move.
    const moved = killed.runs.filter((run) => run.frames < frames / 2).map(({ id }) => id);
    expect(moved.length).toBeGreaterThan(0);
    const others = servers.filter((server) => server !== killed.server);
    await vi.waitFor(async () => {
      const runs = (await Promise.all(others.map(runsOf))).flat();
      expect(runs.filter(({ id, frames: count }) => moved.includes(id) && count > 0)).toHaveLength(moved.length);
    }, 30_000);
    const acknowledged = await stored(killed.server);
    for (const run of (await Promise.all(others.map(runsOf))).flat().filter(({ id }) => moved.includes(id))) {
      // The gap at its beginning is named, and what it stands for is in the other store.
      expect(run.firstSequence, run.id).toBeGreaterThan(0);
      expect(run.missing).toBe(run.firstSequence);
      expect(acknowledged.get(run.id)?.length).toBeGreaterThanOrEqual(run.firstSequence ?? 0);
    }

    await drained.server.scope.process.stop();
    expect(await drained.server.scope.process.exited).toEqual({ code: 0, signal: null });
    for (const trainer of trainers) {
      expect(await reportOf(trainer)).toMatchObject({
        accepted: frames,
        delivered: frames,
        dropped: 0,
        undelivered: 0,
      });
    }

    const stores = await Promise.all(servers.map(stored));
    for (const id of ids) {
      const parts = stores.flatMap((store) => store.get(id) ?? []);
      expect(
        [...new Set(parts)].sort((one, other) => one - other),
        id,
      ).toEqual(upTo(frames));
    }
    // Each store by itself holds each frame once.
    for (const store of stores)
      for (const [id, sequences] of store) expect(new Set(sequences).size, id).toBe(sequences.length);

    // Over all servers every run is seen at its last step, the moved ones too.
    await expect
      .poll(async () => {
        const samples = await victoria.query('max by (run) (max_over_time(outlierscope_training_step[5m]))');
        return Object.fromEntries(samples.map(({ labels, value }) => [labels['run'], value]));
      })
      .toEqual(Object.fromEntries(ids.map((id) => [id, frames - 1])));

    // The killed one comes back with its part.
    killed.server.scope = await startScope(killed.server.database, killed.server.port);
    const back = await runsOf(killed.server);
    expect(back.map(({ id }) => id).sort()).toEqual(killed.runs.map(({ id }) => id).sort());
    for (const { id, state } of back) if (moved.includes(id)) expect(state, id).toBe('silent');
  }, 180_000);
});

/** Runs: listed page by page, one with all that is known of it, deleted. */
import { z } from 'zod';
import { HttpProblem } from '../problem.ts';
import type { RunRecord } from '../run-record.ts';
import { toFrameView, toRunSummary } from '../views.ts';
import { listPlace, pageOf } from './paging.ts';
import { type ApiParts, mostAlerts, runOf } from './parts.ts';
import { oneOf, pageLimit, parameter, parseQuery, someText } from './query.ts';
import type { RouteTable } from './routing.ts';

const tag = parameter('NAME=VALUE', (text) => {
  const [, name, value] = /^([^=]{1,256})=(.{0,256})$/s.exec(text) ?? [];
  return name === undefined || value === undefined ? undefined : { name, value };
});
const runsQuery = z.strictObject({
  state: oneOf(['connected', 'silent', 'finished', 'failed']).optional(),
  name: someText.optional(),
  tag: tag.optional(),
  limit: pageLimit(100, 1000),
  cursor: listPlace.optional(),
});

export function addRunRoutes(table: RouteTable, { store, runs, writer }: ApiParts): void {
  table.add('/api/runs', {
    get(request, response) {
      const query = parseQuery(runsQuery, request.query);
      const { items, next, total } = pageOf(
        runs.newestFirst().filter((run) => isAskedFor(run, query)),
        ({ id }) => id,
        query,
      );
      response.json({ runs: items.map(toRunSummary), next, total });
    },
  });
  table.add('/api/runs/:id', {
    async get(request, response) {
      const run = runOf(runs, request);
      const { sites, metrics, scalars, config } = run.description;
      const latest = await store.latestFrame(run.id);
      response.json({
        ...toRunSummary(run),
        sites,
        metrics,
        scalars,
        config,
        expired: await store.expiredFrames(run.id),
        alerts: await store.alerts({ runId: run.id, limit: mostAlerts }),
        latest: latest === undefined ? null : toFrameView(latest.frame, run.description),
      });
    },
    async delete(request, response) {
      const { id } = runOf(runs, request);
      const outcome = await writer.deleteRun(id);
      if (outcome === 'connected')
        throw new HttpProblem(409, 'Run is connected', `the trainer of run ${id} is connected: stop it first`);
      response.status(204).end();
    },
  });
}

/** A name is looked for in the run's name and its id, whatever the case of its letters. */
function isAskedFor({ id, description, progress }: RunRecord, query: z.infer<typeof runsQuery>): boolean {
  const { state, name, tag: wanted } = query;
  if (state !== undefined && progress.state !== state) return false;
  if (wanted !== undefined && description.tags[wanted.name] !== wanted.value) return false;
  if (name === undefined) return true;
  const part = name.toLowerCase();
  return description.name.toLowerCase().includes(part) || id.toLowerCase().includes(part);
}

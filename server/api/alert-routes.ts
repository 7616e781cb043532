/** Alerts of runs page by page, and what fires now, with one entry for each group. */
import { z } from 'zod';
import { firingOf } from '../group-alerts.ts';
import { groupOf } from '../groups.ts';
import { cursorOf, encodeCursor } from './paging.ts';
import type { ApiParts } from './parts.ts';
import { oneOf, pageLimit, parseQuery, someText } from './query.ts';
import type { RouteTable } from './routing.ts';

const alertsQuery = z.strictObject({
  run: someText.optional(),
  state: oneOf(['firing', 'resolved']).optional(),
  limit: pageLimit(100, 1000),
  cursor: cursorOf(z.tuple([z.number().int()])).optional(),
});

export function addAlertRoutes(table: RouteTable, { store, runs, groupAlerts }: ApiParts): void {
  table.add('/api/alerts', {
    async get(request, response) {
      const { run, state, limit, cursor } = parseQuery(alertsQuery, request.query);
      const { alerts, next } = await store.alertPage({
        ...(run === undefined ? {} : { runId: run }),
        ...(state === undefined ? {} : { state }),
        ...(cursor === undefined ? {} : { before: cursor[0] }),
        limit,
      });
      response.json({ alerts, next: next === undefined ? null : encodeCursor([next]) });
    },
  });
  table.add('/api/alerts/firing', {
    get(request, response) {
      parseQuery(z.strictObject({}), request.query);
      const alone = runs.newestFirst().filter((run) => groupOf(run) === undefined);
      response.json({ groups: groupAlerts.firing(), runs: alone.flatMap(firingOf) });
    },
  });
}

/** Groups: workers of one job as one. */
import { z } from 'zod';
import { toGroupAlerts } from '../group-alerts.ts';
import { byRank, toGroupSummary, toRankSummary } from '../groups.ts';
import { HttpProblem } from '../problem.ts';
import { rangeQuery, sendText, seriesOf, seriesPoints } from './history-routes.ts';
import { listPlace, pageOf } from './paging.ts';
import { type ApiParts, membersOf, mostAlerts } from './parts.ts';
import { pageLimit, parseQuery, someText } from './query.ts';
import type { RouteTable } from './routing.ts';

const groupsQuery = z.strictObject({
  name: someText.optional(),
  limit: pageLimit(100, 1000),
  cursor: listPlace.optional(),
});
const { from, to } = rangeQuery;
const bandsQuery = z.strictObject({ metric: someText, points: seriesPoints, from, to });

export function addGroupRoutes(table: RouteTable, parts: ApiParts): void {
  const { store, groups } = parts;
  table.add('/api/groups', {
    get(request, response) {
      const query = parseQuery(groupsQuery, request.query);
      const part = query.name?.toLowerCase() ?? '';
      const names = groups.newestFirst().filter((name) => name.toLowerCase().includes(part));
      const { items, next, total } = pageOf(names, (name) => name, query);
      response.json({ groups: items.map((name) => toGroupSummary(name, membersOf(parts, name))), next, total });
    },
  });
  table.add('/api/groups/:name', {
    async get(request, response) {
      const name = String(request.params['name']);
      const members = membersOf(parts, name).sort(byRank);
      const limit = Math.ceil(mostAlerts / members.length);
      const alerts = await Promise.all(members.map(({ id }) => store.alerts({ runId: id, limit })));
      response.json({
        ...toGroupSummary(name, members),
        ranks: members.map(toRankSummary),
        alerts: toGroupAlerts(name, alerts.flat()),
      });
    },
  });
  table.add('/api/groups/:name/series', {
    async get(request, response) {
      const members = membersOf(parts, String(request.params['name']));
      const { metric, points, ...range } = parseQuery(bandsQuery, request.query);
      // Ranks may differ in what they measure: those that do not have it are left out.
      const having = members.filter(({ description: { metrics, scalars } }) =>
        [metrics, scalars].some((names) => names.includes(metric)),
      );
      if (having.length === 0) {
        const known = new Set(members.flatMap(({ description }) => [...description.metrics, ...description.scalars]));
        const detail = `metric is ${JSON.stringify(metric)}: no run of the group has it; they have ${[...known].join(', ')}`;
        throw new HttpProblem(400, 'Bad query', detail);
      }
      const asked = { axis: 'step', ...range } as const;
      sendText(
        response,
        await store.bands({ members: having.map((run) => ({ ...seriesOf(run, metric, asked), points })), points }),
      );
    },
  });
}

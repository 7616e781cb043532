/** What a run was over steps or time: series, frames, sites with their extremes. */
import type { Response } from 'express';
import { z } from 'zod';
import { extremeOf } from '../json.ts';
import { HttpProblem } from '../problem.ts';
import type { RunRecord } from '../run-record.ts';
import type { Series } from '../series.ts';
import type { SeriesRequest, StepRange } from '../store.ts';
import type { TimeRange } from '../time-axis.ts';
import { toFrameView } from '../views.ts';
import { cursorOf } from './paging.ts';
import { type ApiParts, runOf } from './parts.ts';
import { oneOf, pageLimit, parseQuery, someText, wholeNumber } from './query.ts';
import type { RouteTable } from './routing.ts';

const place = wholeNumber(0, Number.MAX_SAFE_INTEGER);
/** `from` and `to` are steps, or milliseconds since 1970, inclusive. */
export const rangeQuery = {
  axis: oneOf(['step', 'time']).default('step'),
  from: place.default(0),
  to: place.default(Number.MAX_SAFE_INTEGER),
};
export const seriesPoints = wholeNumber(2, 10_000).default(1000);
const seriesQuery = z.strictObject({
  metric: someText,
  points: seriesPoints,
  extremes: oneOf(['frames', 'sites']).default('frames'),
  ...rangeQuery,
});
const sitesQuery = z.strictObject({ metric: someText.optional(), ...rangeQuery });
const framesQuery = z.strictObject({
  ...rangeQuery,
  limit: pageLimit(20, 100),
  cursor: cursorOf(z.tuple([z.number(), z.number()])).optional(),
});

export function addHistoryRoutes(table: RouteTable, { store, runs }: ApiParts): void {
  table.add('/api/runs/:id/series', {
    async get(request, response) {
      const run = runOf(runs, request);
      const { metric, points, extremes, ...range } = parseQuery(seriesQuery, request.query);
      sendText(response, await store.series({ ...seriesOf(run, metric, range), points, extremes }));
    },
  });
  table.add('/api/runs/:id/sites', {
    async get(request, response) {
      const run = runOf(runs, request);
      const { metric, ...range } = parseQuery(sitesQuery, request.query);
      const { sites, metrics } = run.description;
      if (metric === undefined) return void response.json({ sites });
      if (!metrics.includes(metric)) throw noSuchMetric(run, metric, metrics);
      // As few stretches as there can be.
      const text = await store.series({ ...seriesOf(run, metric, range), points: 2, extremes: 'sites' });
      const { envelope } = JSON.parse(new TextDecoder().decode(text)) as Series;
      response.json({
        metric,
        sites: sites.map((site, index) => ({
          ...site,
          minimum: extremeOf(envelope?.minima[index] ?? [], Math.min),
          maximum: extremeOf(envelope?.maxima[index] ?? [], Math.max),
        })),
      });
    },
  });
  table.add('/api/runs/:id/frames', {
    async get(request, response) {
      const run = runOf(runs, request);
      const { limit, cursor, ...asked } = parseQuery(framesQuery, request.query);
      const { sites, metrics, scalars } = run.description;
      const after = cursor === undefined ? {} : { after: { step: cursor[0], sequence: cursor[1] } };
      const request_ = { runId: run.id, sites, metrics, scalars, ...rangeOf(run, asked), ...after, limit };
      sendText(response, await store.framePage(request_));
    },
  });
  table.add('/api/runs/:id/frames/:step', {
    async get(request, response) {
      const run = runOf(runs, request);
      const { step } = parseQuery(z.strictObject({ step: place }), { step: request.params['step'] });
      const found = await store.frameAt(run.id, step);
      if (found === undefined)
        throw new HttpProblem(404, 'No such frame', `run ${run.id} has no frame at or before step ${step}`);
      response.json(toFrameView(found.frame, run.description));
    },
  });
}

export interface AskedRange {
  readonly axis: 'step' | 'time';
  readonly from: number;
  readonly to: number;
}

/** One series of a run; `points` is still to be said. @throws HttpProblem 400 for a name that the run does not have. */
export function seriesOf(run: RunRecord, name: string, range: AskedRange): Omit<SeriesRequest, 'points'> {
  const { metrics, scalars, sites } = run.description;
  if (![...metrics, ...scalars].includes(name)) throw noSuchMetric(run, name, [...metrics, ...scalars]);
  return { runId: run.id, sites: sites.map((site) => site.name), metrics, scalars, name, ...rangeOf(run, range) };
}

function rangeOf(run: RunRecord, { axis, from, to }: AskedRange): { range: StepRange; times?: TimeRange } {
  const { lastSequence } = run.progress;
  if (axis === 'step') return { range: { from, to, lastSequence } };
  return { range: { from: 0, to: Number.MAX_SAFE_INTEGER, lastSequence }, times: { from, to } };
}

function noSuchMetric(run: RunRecord, name: string, known: readonly string[]): HttpProblem {
  const detail = `metric is ${JSON.stringify(name)}: run ${run.id} does not have it; it has ${known.join(', ')}`;
  return new HttpProblem(400, 'Bad query', detail);
}

/** JSON that was made where it was read. */
export function sendText(response: Response, text: Uint8Array): void {
  response.type('json').send(Buffer.from(text.buffer, text.byteOffset, text.byteLength));
}

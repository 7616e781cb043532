/** Every HTTP route (docs/api.md), and who may call it. */
import { fileURLToPath } from 'node:url';
import express, { type Express, type Request } from 'express';
import { z } from 'zod';
import { catalogueVersion, frameScalars, siteMetrics } from '../src/catalogue.ts';
import { createMetricsRoute } from './exposition/route.ts';
import type { Scrapes } from './exposition/scrapes.ts';
import { type GuardParts, protect, requireToken } from './guard.ts';
import type { Health } from './health.ts';
import { answerErrors, HttpProblem } from './problem.ts';
import type { RunRecord } from './run-record.ts';
import type { RunRegistry } from './runs.ts';
import { createSessionRoutes } from './session-routes.ts';
import type { Store } from './store.ts';
import { toFrameView, toRunSummary } from './views.ts';
import type { Writer } from './writer.ts';

export interface RouteParts extends GuardParts {
  readonly store: Store;
  readonly runs: RunRegistry;
  readonly writer: Pick<Writer, 'trouble' | 'deleteRun'>;
  readonly scrapes: Scrapes;
  readonly health: Health;
  readonly sessionSeconds: number;
}

const mostAlerts = 1000;

/** Numbers in a query are plain decimal: neither '' nor '1e3' nor ' 5'. */
const wholeNumber = (least: number, most: number) =>
  z
    .string()
    .regex(/^\d{1,16}$/, 'must be a whole number')
    .transform(Number)
    .pipe(z.number().min(least).max(most));
const step = wholeNumber(0, Number.MAX_SAFE_INTEGER);
const seriesQuery = z.object({
  metric: z.string().min(1),
  points: wholeNumber(2, 10_000).default(1000),
  from: step.default(0),
  to: step.default(Number.MAX_SAFE_INTEGER),
});
const alertsQuery = z.object({ run: z.string().optional() });

export function createRoutes(parts: RouteParts): Express {
  const { store, runs, writer, scrapes, health, gate, sessionSeconds } = parts;
  const app = express();
  app.disable('x-powered-by');
  app.disable('etag');
  app.set('query parser', 'simple');
  app.use(protect(parts));

  app.get('/healthz', (_request, response) => void response.type('text').send('ok\n'));
  app.get('/readyz', async (_request, response) => {
    const trouble = await writer.trouble();
    if (trouble !== undefined) throw new HttpProblem(503, 'Store failed', trouble);
    response.type('text').send('ok\n');
  });

  app.use('/api/session', createSessionRoutes(gate, sessionSeconds, health));
  app.use(['/metrics', '/api'], requireToken(gate, health));
  app.get('/metrics', createMetricsRoute(scrapes, health));
  app.get(
    '/api/catalogue',
    (_request, response) => void response.json({ version: catalogueVersion, siteMetrics, frameScalars }),
  );
  app.get('/api/runs', (_request, response) => void response.json({ runs: runs.newestFirst().map(toRunSummary) }));
  app.get('/api/runs/:id', async (request, response) => {
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
  });
  app.delete('/api/runs/:id', async (request, response) => {
    const { id } = runOf(runs, request);
    const outcome = await writer.deleteRun(id);
    if (outcome === 'connected')
      throw new HttpProblem(409, 'Run is connected', `the trainer of run ${id} is connected: stop it first`);
    response.status(204).end();
  });
  app.get('/api/runs/:id/series', async (request, response) => {
    const run = runOf(runs, request);
    const query = parseQuery(seriesQuery, request.query);
    const { metrics, scalars, sites } = run.description;
    if (![...metrics, ...scalars].includes(query.metric)) {
      throw new HttpProblem(
        400,
        'Bad query',
        `run ${run.id} has no metric or scalar ${JSON.stringify(query.metric)}; it has ${[...metrics, ...scalars].join(', ')}`,
      );
    }
    const { metric: name, points, from, to } = query;
    const text = await store.series({
      runId: run.id,
      sites: sites.map((site) => site.name),
      metrics,
      scalars,
      name,
      points,
      range: { from, to, lastSequence: run.progress.lastSequence },
    });
    response.type('json').send(Buffer.from(text.buffer, text.byteOffset, text.byteLength));
  });
  app.get('/api/runs/:id/frames/:step', async (request, response) => {
    const run = runOf(runs, request);
    const before = parseQuery(z.object({ step }), request.params).step;
    const found = await store.frameAt(run.id, before);
    if (found === undefined)
      throw new HttpProblem(404, 'No such frame', `run ${run.id} has no frame at or before step ${before}`);
    response.json(toFrameView(found.frame, run.description));
  });
  app.get('/api/alerts', async (request, response) => {
    const { run } = parseQuery(alertsQuery, request.query);
    response.json({ alerts: await store.alerts({ ...(run === undefined ? {} : { runId: run }), limit: mostAlerts }) });
  });

  // The page is the same for everyone and holds no data, so it is served without a token: how else to sign in.
  app.use(express.static(pageFolder(), { index: 'index.html', cacheControl: false, redirect: false }));
  app.use((request) => {
    const page = request.path === '/' ? ': the page is not built, run "npm run build"' : '';
    throw new HttpProblem(
      404,
      'No such route',
      `nothing answers ${request.method} ${request.path}${page}; see docs/api.md`,
    );
  });
  app.use(answerErrors);
  return app;
}

function runOf(runs: RunRegistry, request: Request): RunRecord {
  const id = String(request.params['id']);
  const run = runs.get(id);
  if (run === undefined)
    throw new HttpProblem(404, 'No such run', `there is no run ${JSON.stringify(id)}; GET /api/runs lists them`);
  return run;
}

function parseQuery<Schema extends z.ZodType>(schema: Schema, query: unknown): z.infer<Schema> {
  const result = schema.safeParse(query);
  if (result.success) return result.data;
  throw new HttpProblem(
    400,
    'Bad query',
    result.error.issues.map((issue) => `${issue.path.join('.')}: ${issue.message}`).join('; '),
  );
}

/** The built page: beside this file in the package, in dist when running from the sources. */
function pageFolder(): string {
  const fromSources = import.meta.url.endsWith('.ts');
  return fileURLToPath(new URL(fromSources ? '../dist/server/page' : './page', import.meta.url));
}

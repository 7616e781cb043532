/** Every HTTP route (docs/api.md, docs/openapi.json), and who may call it. */
import { fileURLToPath } from 'node:url';
import express, { type Express } from 'express';
import { addAlertRoutes } from './api/alert-routes.ts';
import { addDocumentRoutes } from './api/document-routes.ts';
import { addGroupRoutes } from './api/group-routes.ts';
import { addHistoryRoutes } from './api/history-routes.ts';
import type { ApiParts } from './api/parts.ts';
import { createRouteTable, onlyJson } from './api/routing.ts';
import { addRunRoutes } from './api/run-routes.ts';
import { createMetricsRoute } from './exposition/route.ts';
import type { Scrapes } from './exposition/scrapes.ts';
import { type GuardParts, protect, requireToken } from './guard.ts';
import type { Health } from './health.ts';
import { answerErrors, HttpProblem } from './problem.ts';
import { addSessionRoutes } from './session-routes.ts';
import type { Writer } from './writer.ts';

export interface RouteParts extends GuardParts, ApiParts {
  readonly writer: Pick<Writer, 'trouble' | 'deleteRun'>;
  readonly scrapes: Scrapes;
  readonly health: Health;
  readonly sessionSeconds: number;
  /** The server is about to end. */
  readonly isDraining: () => boolean;
}

export function createRoutes(parts: RouteParts): Express {
  const { writer, scrapes, health, gate, isDraining } = parts;
  const app = express();
  app.disable('x-powered-by');
  app.disable('etag');
  app.set('query parser', 'simple');
  app.use(protect(parts));
  const table = createRouteTable(app);

  table.add('/healthz', { get: (_request, response) => void response.type('text').send('ok\n') });
  table.add('/readyz', {
    async get(_request, response) {
      if (isDraining()) throw new HttpProblem(503, 'Draining', 'the server is shutting down: go to another one');
      const trouble = await writer.trouble();
      if (trouble !== undefined) throw new HttpProblem(503, 'Store failed', trouble);
      response.type('text').send('ok\n');
    },
  });

  app.use('/api', onlyJson);
  addSessionRoutes(app, table, parts);
  app.use(['/metrics', '/api'], requireToken(gate, health));
  app.get('/metrics', createMetricsRoute(scrapes, health));
  table.refuseOthers('/metrics', ['get']);
  addDocumentRoutes(table, parts);
  addRunRoutes(table, parts);
  addHistoryRoutes(table, parts);
  addAlertRoutes(table, parts);
  addGroupRoutes(table, parts);

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

/** The built page: beside this file in the package, in dist when running from the sources. */
function pageFolder(): string {
  const fromSources = import.meta.url.endsWith('.ts');
  return fileURLToPath(new URL(fromSources ? '../dist/server/page' : './page', import.meta.url));
}

/** What describes the server itself: the catalogue, the API as OpenAPI, and the server as a target for Prometheus. */
import { readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { catalogueVersion, frameScalars, siteMetrics } from '../../src/catalogue.ts';
import { isEncrypted } from '../access/hosts.ts';
import type { ApiParts } from './parts.ts';
import type { RouteTable } from './routing.ts';

export function addDocumentRoutes(table: RouteTable, { runs, rules }: Pick<ApiParts, 'runs' | 'rules'>): void {
  const catalogue = { version: catalogueVersion, siteMetrics, frameScalars };
  table.add('/api/catalogue', { get: (_request, response) => void response.json(catalogue) });
  table.add('/api/rules', { get: (_request, response) => void response.json({ rules: rules() }) });
  const document = readFileSync(openApiFile());
  table.add('/api/openapi.json', { get: (_request, response) => void response.type('json').send(document) });
  // https://prometheus.io/docs/prometheus/latest/http_sd/
  table.add('/api/sd', {
    get(request, response) {
      const encrypted = isEncrypted(request);
      // The name that Prometheus knows this server by is the one that it asked with.
      const host = request.headers.host ?? '';
      const target = /:\d+$/.test(host) ? host : `${host}:${encrypted ? 443 : 80}`;
      const labels = {
        __scheme__: encrypted ? 'https' : 'http',
        __metrics_path__: '/metrics',
        __meta_outlierscope_runs: String(runs.exposed().length),
      };
      response.json([{ targets: [target], labels }]);
    },
  });
}

/** In docs of the package, and of the sources. */
function openApiFile(): string {
  const fromSources = import.meta.url.endsWith('.ts');
  return fileURLToPath(new URL(`${fromSources ? '../..' : '../../..'}/docs/openapi.json`, import.meta.url));
}

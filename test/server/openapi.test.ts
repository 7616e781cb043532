/** docs/openapi.json against the server, both ways: every route is in it, and every operation in it answers as its schema says. */
import { readFileSync } from 'node:fs';
import { type ErrorObject, Ajv2020 as Validator } from 'ajv/dist/2020.js';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { createGate } from '../../server/access/gate.ts';
import { createHealth } from '../../server/health.ts';
import { type RunningServer, startServer } from '../../server/index.ts';
import { defaultLimits } from '../../server/limits.ts';
import { createRoutes, type RouteParts } from '../../server/routes.ts';
import { frameOf, helloOf, join } from './trainer.ts';

type Method = 'get' | 'post' | 'delete';
interface Operation {
  readonly parameters?: readonly { readonly name: string; readonly in: string; readonly required?: boolean }[];
  readonly responses: Readonly<
    Record<string, { readonly $ref?: string; readonly content?: Readonly<Record<string, unknown>> }>
  >;
}
interface Document {
  readonly openapi: string;
  readonly paths: Readonly<Record<string, Readonly<Partial<Record<Method, Operation>>>>>;
  readonly components: Readonly<Record<'schemas' | 'responses', Readonly<Record<string, object>>>>;
}

const text = readFileSync(new URL('../../docs/openapi.json', import.meta.url), 'utf8');
const document = JSON.parse(text) as Document;
const operations = Object.entries(document.paths).flatMap(([path, item]) =>
  Object.entries(item).map(([method, operation]) => ({
    method: method as Method,
    path,
    operation: operation as Operation,
  })),
);
const nameOf = ({ method, path }: { method: string; path: string }): string => `${method.toUpperCase()} ${path}`;

// Schemas are strict; around them is a document that is none.
const validator = new Validator({ allErrors: true, strictSchema: false, allowUnionTypes: true });
validator.addSchema(document, 'openapi');
const escaped = (part: string): string => encodeURIComponent(part.replaceAll('~', '~0').replaceAll('/', '~1'));

/** What is wrong with a body, by the schema at a place of the document; an empty list for nothing. */
function faultsOf(place: readonly string[], body: unknown): ErrorObject[] {
  const check = validator.getSchema(`openapi#/${place.map(escaped).join('/')}`);
  if (check === undefined) throw new Error(`the document has no schema at ${place.join(' ')}`);
  return check(body) ? [] : (check.errors ?? []);
}

let server: RunningServer;
const token = 'a-token-of-this-test';
const bearer = { Authorization: `Bearer ${token}` };

beforeAll(async () => {
  server = await startServer({ port: 0, database: ':memory:', token });
  const tags = { group: 'job', rank: '0' };
  const first = await join(
    server.url,
    helloOf('run-1', { token, tags, config: { layers: 2, dropout: null, on: true } }),
  );
  for (const [sequence, kurtosis] of [1, 9, 9, 1, 1, 12, 12].entries())
    first.sendFrame(frameOf(sequence, { kurtosis }));
  first.sendFrame(frameOf(7, { values: [Number.NaN, Infinity, -Infinity, 2], scalars: [Number.NaN, 1] }));
  await first.acknowledged(7);
  const second = await join(server.url, helloOf('run-2', { token, tags: { ...tags, rank: '1' } }));
  for (const [sequence, kurtosis] of [9, 9].entries()) second.sendFrame(frameOf(sequence, { kurtosis }));
  await second.acknowledged(1);
  await join(server.url, helloOf('empty', { token }));
  const over = await join(server.url, helloOf('over', { token }));
  over.send({ type: 'bye', outcome: 'finished' });
  await over.closed;
});
afterAll(() => server.close());

describe('the document', () => {
  test('names every route of the server, and no other', () => {
    const health = createHealth();
    const gate = createGate({ tokens: [], limits: defaultLimits, isTrustedProxy: () => false });
    // Routes are made without asking the store or the runs for anything.
    const app = createRoutes({ gate, health, requestsPerSecond: 1 } as unknown as RouteParts);
    const routes = new Set<string>();
    for (const { route } of app.router.stack) {
      const methods = route === undefined ? [] : Object.keys((route as unknown as { methods: object }).methods);
      for (const method of methods)
        if (method !== '_all') routes.add(nameOf({ method, path: String(route?.path).replace(/:(\w+)/g, '{$1}') }));
    }
    expect(routes).toContain('GET /api/runs/{id}/series');
    expect(operations.map(nameOf).toSorted()).toEqual([...routes].toSorted());
  });

  test('is OpenAPI 3.1 whose schemas are schemas, each used', () => {
    expect(document.openapi).toMatch(/^3\.1\./);
    for (const [name, schema] of Object.entries(document.components.schemas)) {
      expect(validator.validateSchema(schema), name).toBe(true);
      expect(text, name).toContain(`"#/components/schemas/${name}"`);
    }
    for (const name of Object.keys(document.components.responses))
      expect(text).toContain(`"#/components/responses/${name}"`);
    for (const { path, operation } of operations) {
      const named = (operation.parameters ?? [])
        .filter((parameter) => parameter.in === 'path')
        .map(({ name }) => `{${name}}`);
      expect(path.match(/\{\w+\}/g) ?? []).toEqual(named);
    }
  });

  test('is served as it is', async () => {
    expect(await (await fetch(`${server.url}/api/openapi.json`, { headers: bearer })).text()).toBe(text);
  });
});

/** At least one request for each operation: its address, and the status that it has. */
const requests: [operation: string, address: string, status: number, body?: unknown][] = [
  ['GET /healthz', '/healthz', 200],
  ['GET /readyz', '/readyz', 200],
  ['GET /metrics', '/metrics', 200],
  ['GET /api/catalogue', '/api/catalogue', 200],
  ['GET /api/rules', '/api/rules', 200],
  ['GET /api/openapi.json', '/api/openapi.json', 200],
  ['GET /api/sd', '/api/sd', 200],
  ['GET /api/runs', '/api/runs', 200],
  ['GET /api/runs', '/api/runs?limit=1&state=connected&name=run&tag=group%3Djob', 200],
  ['GET /api/runs', '/api/runs?limit=none', 400],
  ['GET /api/runs/{id}', '/api/runs/run-1', 200],
  ['GET /api/runs/{id}', '/api/runs/empty', 200],
  ['GET /api/runs/{id}', '/api/runs/none', 404],
  ['DELETE /api/runs/{id}', '/api/runs/run-1', 409],
  ['DELETE /api/runs/{id}', '/api/runs/over', 204],
  ['DELETE /api/runs/{id}', '/api/runs/over', 404],
  ['GET /api/runs/{id}/series', '/api/runs/run-1/series?metric=kurtosis', 200],
  ['GET /api/runs/{id}/series', '/api/runs/run-1/series?metric=rms&points=2&extremes=sites', 200],
  ['GET /api/runs/{id}/series', '/api/runs/run-1/series?metric=loss&axis=time&from=5', 200],
  ['GET /api/runs/{id}/series', '/api/runs/empty/series?metric=loss', 200],
  ['GET /api/runs/{id}/series', '/api/runs/run-1/series', 400],
  ['GET /api/runs/{id}/sites', '/api/runs/run-1/sites', 200],
  ['GET /api/runs/{id}/sites', '/api/runs/run-1/sites?metric=kurtosis', 200],
  ['GET /api/runs/{id}/frames', '/api/runs/run-1/frames?limit=3', 200],
  ['GET /api/runs/{id}/frames', '/api/runs/run-1/frames?axis=time', 200],
  ['GET /api/runs/{id}/frames/{step}', '/api/runs/run-1/frames/1000', 200],
  ['GET /api/runs/{id}/frames/{step}', '/api/runs/empty/frames/0', 404],
  ['GET /api/alerts', '/api/alerts?limit=1', 200],
  ['GET /api/alerts', '/api/alerts?run=run-1&state=resolved', 200],
  ['GET /api/alerts/firing', '/api/alerts/firing', 200],
  ['GET /api/groups', '/api/groups', 200],
  ['GET /api/groups/{name}', '/api/groups/job', 200],
  ['GET /api/groups/{name}', '/api/groups/none', 404],
  ['GET /api/groups/{name}/series', '/api/groups/job/series?metric=kurtosis', 200],
  ['GET /api/groups/{name}/series', '/api/groups/job/series?metric=loss', 200],
  ['GET /api/session', '/api/session', 200],
  ['POST /api/session', '/api/session', 200, { token }],
  ['POST /api/session', '/api/session', 400, {}],
  ['POST /api/session', '/api/session', 413, { token: 'x'.repeat(10_000) }],
  ['DELETE /api/session', '/api/session', 204],
];

async function ask(
  operation: string,
  address: string,
  options: RequestInit = {},
): Promise<{ status: number; faults: unknown[] }> {
  const [method = '', path = ''] = operation.split(' ');
  const response = await fetch(server.url + address, { method, headers: bearer, ...options });
  const place = ['paths', path, method.toLowerCase(), 'responses', String(response.status)];
  const documented = document.paths[path]?.[method.toLowerCase() as Method]?.responses[String(response.status)];
  if (documented === undefined) return { status: response.status, faults: ['the status is not documented'] };
  const own = documented.$ref === undefined ? place : documented.$ref.split('/').slice(1);
  const content = own.reduce<unknown>((at, part) => (at as Record<string, unknown>)[part], document) as {
    content?: Record<string, unknown>;
  };
  const type = response.headers.get('content-type')?.split(';')[0];
  const body = await response.text();
  if (content.content === undefined) return { status: response.status, faults: body === '' ? [] : ['a body'] };
  if (type === undefined || content.content[type] === undefined)
    return { status: response.status, faults: [`type ${type}`] };
  const value: unknown = type.endsWith('json') ? JSON.parse(body) : body;
  return { status: response.status, faults: faultsOf([...own, 'content', type, 'schema'], value) };
}

describe('the server', () => {
  test('is asked for every operation, and for its success', () => {
    const succeeded = requests.filter(([, , status]) => status < 300).map(([operation]) => operation);
    expect(new Set(succeeded)).toEqual(new Set(operations.map(nameOf)));
  });

  test.each(requests)('%s answers %s with %i, as documented', async (operation, address, status, body) => {
    const json = { headers: { ...bearer, 'Content-Type': 'application/json' }, body: JSON.stringify(body) };
    expect(await ask(operation, address, body === undefined ? {} : json)).toEqual({ status, faults: [] });
  });

  const queried = operations.filter(({ operation }) =>
    operation.parameters?.some((parameter) => parameter.in === 'query'),
  );
  test.each(queried.map((each) => [nameOf(each), each] as const))(
    '%s takes the documented parameters',
    async (_name, each) => {
      const names = (each.operation.parameters ?? [])
        .filter((parameter) => parameter.in === 'query')
        .map(({ name }) => name);
      const path = each.path.replace('{id}', 'run-1').replace('{name}', 'job');
      const response = await fetch(`${server.url}${path}?unheard=of`, { headers: bearer });
      const { detail } = (await response.json()) as { detail: string };
      const known = /"unheard" is no parameter here: known are ([\w, ]+)/.exec(detail)?.[1]?.split(', ');
      expect(known?.toSorted()).toEqual(names.toSorted());
    },
  );

  test('refuses as documented', async () => {
    for (const { method, path } of operations) {
      if (!path.startsWith('/api/') || path === '/api/session') continue;
      const address = path.replace('{id}', 'run-1').replace('{name}', 'job').replace('{step}', '1');
      const operation = nameOf({ method, path });
      expect(await ask(operation, address, { headers: {} }), operation).toEqual({ status: 401, faults: [] });
      expect(await ask(operation, address, { headers: { ...bearer, Accept: 'image/png' } })).toEqual({
        status: 406,
        faults: [],
      });
      expect(await ask(operation, address, { method: 'PATCH' })).toEqual({ status: 405, faults: [] });
    }
  });
});

test('the schemas would notice: a field more, a field less, a number that is none', async () => {
  const response = await fetch(`${server.url}/api/runs/run-1`, { headers: bearer });
  const run = (await response.json()) as Record<string, unknown>;
  const place = ['components', 'schemas', 'RunDetail'];
  expect(faultsOf(place, run)).toEqual([]);
  expect(faultsOf(place, { ...run, more: 1 })).not.toEqual([]);
  const { loss: _loss, ...less } = run;
  expect(faultsOf(place, less)).not.toEqual([]);
  expect(faultsOf(place, { ...run, step: 'NaN' })).not.toEqual([]);
});

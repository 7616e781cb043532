/** `GET /metrics` (docs/api.md): what is asked for, in which format and encoding. */
import { Readable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import type { Request, RequestHandler, Response } from 'express';
import { z } from 'zod';
import type { Health } from '../health.ts';
import { HttpProblem } from '../problem.ts';
import { families } from './families.ts';
import { contentTypes, negotiateFormat } from './formats.ts';
import { type Body, type Scrapes, scrapeFamilies, type Wanted } from './scrapes.ts';

const list = z.union([z.string().transform((one) => [one]), z.array(z.string())]).optional();
const querySchema = z.strictObject(
  { run: list, metric: list },
  {
    error: (issue) =>
      issue.code === 'unrecognized_keys' ? `unknown are ${issue.keys.join(', ')}; known are run, metric` : undefined,
  },
);

/** Longer than any scraper's own time-out: whoever has not read the answer by then is not going to, and it takes memory. */
const sendMilliseconds = 60_000;

export function createMetricsRoute(scrapes: Scrapes, health: Pick<Health, 'registry' | 'refused'>): RequestHandler {
  return async (request, response) => {
    const wanted = wantedBy(request, namesOf(health));
    if (request.method === 'HEAD') {
      response.set(headersFor(wanted)).end();
      return;
    }
    const coming = scrapes.scrape(wanted);
    if (coming === undefined) {
      health.refused.inc({ reason: 'scrapes' });
      response.set('Retry-After', '1');
      throw new HttpProblem(
        503,
        'Too many scrapes',
        'as many scrapes are being answered as the server takes (limit scrapes): again later',
      );
    }
    const body = await coming;
    response.set(headersFor(wanted)); // not before, as an error is sent as it is
    await send(body, response);
  };
}

function headersFor({ format, encoding }: Wanted): Record<string, string> {
  const headers = { 'Content-Type': contentTypes[format], Vary: 'Accept, Accept-Encoding' };
  return encoding === 'gzip' ? { ...headers, 'Content-Encoding': 'gzip' } : headers;
}

async function send({ chunks, bytes, release }: Body, response: Response): Promise<void> {
  try {
    response.set('Content-Length', String(bytes));
    await pipeline(Readable.from(chunks), response, { signal: AbortSignal.timeout(sendMilliseconds) });
  } catch (error) {
    // The scraper went away, or did not read: there is nobody to tell.
    if (!response.destroyed) throw error;
  } finally {
    release();
  }
}

function wantedBy(request: Request, names: ReadonlyMap<string, string>): Wanted {
  const parsed = querySchema.safeParse(request.query);
  if (!parsed.success)
    throw badQuery(
      parsed.error.issues.map(({ path, message }) => `${path.join('.') || 'query'}: ${message}`).join('; '),
    );
  const { run, metric } = parsed.data;
  const unknown = metric?.find((name) => !names.has(name));
  if (unknown !== undefined)
    throw badQuery(`no metric here is named ${JSON.stringify(unknown.slice(0, 100))}; docs/metrics.md has the names`);
  return {
    format: negotiateFormat(request.headers.accept),
    encoding: request.acceptsEncodings(['gzip', 'identity']) === 'gzip' ? 'gzip' : 'identity',
    runs: run === undefined ? undefined : new Set(run),
    metrics: metric === undefined ? undefined : new Set(metric.map((name) => names.get(name) as string)),
  };
}

function badQuery(detail: string): HttpProblem {
  return new HttpProblem(400, 'Bad query', detail);
}

/** The names that a filter may use, and the family that each stands for: the catalogue's own too, and counters without `_total`. */
function namesOf({ registry }: Pick<Health, 'registry'>): ReadonlyMap<string, string> {
  const own = [...registry.getMetricsAsArray(), ...Object.values(scrapeFamilies)].map(({ name }) => name);
  return new Map([
    ...families.flatMap(({ name, metric }) => [name, metric ?? name].map((alias) => [alias, name] as const)),
    ...own.flatMap((name) => [name, name.replace(/_total$/, '')].map((alias) => [alias, name] as const)),
  ]);
}

import { setImmediate as turn } from 'node:timers/promises';
import { gunzipSync } from 'node:zlib';
import { beforeEach, expect, test } from 'vitest';
import { type Body, createScrapes, type Scrapes, type Wanted } from '../../../server/exposition/scrapes.ts';
import { createHealth, type Health } from '../../../server/health.ts';
import { afterBye, afterFrame, afterHello } from '../../../server/run-record.ts';
import { createRunRegistry, type RunRegistry } from '../../../server/runs.ts';
import { frameOf, helloOf, site } from '../trainer.ts';
import { parseSamples } from './runs.ts';

let now: number;
let registry: RunRegistry;
let health: Health;
let scrapes: Scrapes;
const grace = 1000;

beforeEach(() => {
  now = 1_700_000_000_000;
  registry = createRunRegistry(grace, () => now);
  health = createHealth();
  const limits = { scrapes: 4, runSeries: 1e6, scrapeSeries: 1e6 };
  scrapes = createScrapes({ runs: registry, rules: () => [], health, limits, now: () => now });
});

/** A run of 1,000 sites whose values are all `value`. */
function adopt(id: string, sequence: number, value: number): void {
  const sites = Array.from({ length: 1000 }, (_, index) => site(`site ${index}`));
  const record = registry.get(id) ?? afterHello(undefined, helloOf(id, { sites }), now);
  const frame = frameOf(sequence, { values: sites.flatMap(() => [value, value]) });
  const next = afterFrame(record, frame, [], now)?.record ?? record;
  registry.adopt(next, frame);
  registry.observe(next, frame);
}

const whole: Wanted = { format: 'text', encoding: 'identity', runs: undefined, metrics: undefined };
function scrape(changes: Partial<Wanted> = {}): Promise<Body> {
  const coming = scrapes.scrape({ ...whole, ...changes });
  if (coming === undefined) throw new Error('too many scrapes');
  return coming;
}
const textOf = ({ chunks }: Body): string => Buffer.concat(chunks).toString();
const valuesOf = (body: Body, name: string): Set<number> =>
  new Set(parseSamples(textOf(body)).flatMap((sample) => (sample.name === name ? [sample.value] : [])));

test('a scrape shows one moment, though frames come in while it is rendered', async () => {
  for (let run = 0; run < 20; run++) adopt(`run-${run}`, 0, 1.1);
  let isDone = false;
  const body = scrape().finally(() => {
    isDone = true;
  });
  let turns = 0;
  for (; !isDone; turns++) {
    await turn();
    for (let run = 0; run < 20; run++) adopt(`run-${run}`, turns + 1, 2.2 + turns);
  }
  expect(valuesOf(await body, 'outlierscope_rms').size).toBe(1);
  expect(turns).toBeGreaterThan(2); // else nothing came between
});

test('scrapers that wait for the same share an answer, which stays as it is until all have let go of it', async () => {
  adopt('r', 0, 1.5);
  const [first, second, other] = await Promise.all([scrape(), scrape(), scrape({ format: 'openmetrics' })]);
  expect(second.chunks).toBe(first.chunks);
  expect(other.chunks).not.toBe(first.chunks);
  const before = textOf(first);
  first.release();
  adopt('r', 1, 2.5);
  const later = await scrape();
  expect(valuesOf(later, 'outlierscope_rms')).toEqual(new Set([2.5]));
  expect(textOf(second)).toBe(before);
  second.release();
  const reused = await scrape();
  expect(reused.chunks[0]?.buffer).toBe(first.chunks[0]?.buffer);
});

test('no more are answered at once than the limit says', async () => {
  const bodies = await Promise.all([1, 2, 3, 4].map(() => scrape()));
  expect(scrapes.scrape(whole)).toBeUndefined();
  bodies[0]?.release();
  const next = await scrape();
  expect(scrapes.scrape(whole)).toBeUndefined();
  for (const body of [...bodies.slice(1), next]) body.release();
  expect(scrapes.scrape(whole)).toBeDefined();
});

test('one that fails makes room, and the next is answered', async () => {
  const broken = health.registry.getMetricsAsJSON;
  health.registry.getMetricsAsJSON = () => Promise.reject(new Error('broken'));
  for (let attempt = 0; attempt < 10; attempt++) await expect(scrape()).rejects.toThrow('broken');
  health.registry.getMetricsAsJSON = broken;
  expect(textOf(await scrape())).toContain('outlierscope_server_scrape_series 0\n');
});

test('compressed it is the same', async () => {
  for (let run = 0; run < 5; run++) adopt(`run-${run}`, 0, 1 / 3);
  const select = { runs: new Set(['run-1', 'run-3']) };
  const [plain, compressed] = await Promise.all([scrape(select), scrape({ ...select, encoding: 'gzip' })]);
  expect(gunzipSync(Buffer.concat(compressed.chunks)).toString()).toBe(textOf(plain));
  expect(compressed.bytes).toBe(compressed.chunks.reduce((sum, { length }) => sum + length, 0));
});

test('what is kept of a run that left is given back, without a scrape too', async () => {
  adopt('r', 0, 1);
  (await scrape()).release();
  const record = afterBye(registry.get('r') ?? raise(), { type: 'bye', outcome: 'finished', dropped: 0 }, now);
  registry.adopt(record);
  expect(registry.exposed()).toMatchObject([{ latest: { sequence: 0 }, peaks: expect.anything() }]);
  now += grace;
  scrapes.sweep();
  // It is connected again, and nothing of before is left: neither frame nor recent maximum.
  registry.adopt(afterHello(record, helloOf('r', { sites: record.description.sites.slice() }), now));
  expect(registry.exposed()).toMatchObject([{ latest: undefined, peaks: undefined }]);
});

function raise(): never {
  throw new Error('not there');
}

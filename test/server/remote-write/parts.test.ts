/** The parts of remote write that need no receiver: bytes, times, halving, what answers mean, whose turn it is, what retention took. */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { createScrapes } from '../../../server/exposition/scrapes.ts';
import { createHealth } from '../../../server/health.ts';
import { answerOf, failureOf, retryDelay } from '../../../server/remote-write/answers.ts';
import { halve, requestOf, samplesOf } from '../../../server/remote-write/bisect.ts';
import { beginningOf } from '../../../server/remote-write/cursor.ts';
import { type Part, pack } from '../../../server/remote-write/pack.ts';
import { RequestEncoder } from '../../../server/remote-write/protobuf.ts';
import { RunQueue } from '../../../server/remote-write/queue.ts';
import { createSaver } from '../../../server/remote-write/saver.ts';
import { labelBytes, prepareSeries } from '../../../server/remote-write/series.ts';
import { SeriesSet } from '../../../server/remote-write/series-set.ts';
import { createSource, framesFor, type StoredRun } from '../../../server/remote-write/source.ts';
import { isClamped, timesOf } from '../../../server/remote-write/times.ts';
import { afterFrame, afterHello, type RunRecord } from '../../../server/run-record.ts';
import { createRunRegistry } from '../../../server/runs.ts';
import { openForReading } from '../../../server/sqlite/database.ts';
import { openSqliteStore } from '../../../server/sqlite-store.ts';
import { metricsOfGroup } from '../../../src/catalogue.ts';
import { encodeFrame, type Frame } from '../../../src/frame.ts';
import { frameOf, helloOf, site } from '../trainer.ts';
import { keyOf } from './reading-back.ts';
import { decode } from './refusing-proxy.ts';

const written = (request: Uint8Array) => decode(Buffer.from(request));
const now = 1_790_000_000_000;

function partOf(record: RunRecord, frames: readonly Frame[], changes: Partial<Part> = {}): Part {
  const series = prepareSeries(record, {});
  const times = frames.map((frame) => frame.time);
  return { series, frames, times, endsAt: undefined, sent: new SeriesSet(), ...changes };
}

/** What /metrics says of a run. */
async function exposed(record: RunRecord, frame: Frame): Promise<string> {
  const runs = createRunRegistry(1000, () => now);
  runs.adopt(record, frame);
  const limits = { scrapes: 1, runSeries: 1e6, scrapeSeries: 1e6 };
  const scrapes = createScrapes({ runs, rules: () => [], health: createHealth(), limits, now: () => now });
  const body = await scrapes.scrape({ format: 'text', encoding: 'identity', runs: undefined, metrics: undefined });
  return Buffer.concat(body?.chunks ?? []).toString();
}

describe('requests', () => {
  test('hold what went in, as a decoder of another hand reads it', () => {
    const encoder = new RequestEncoder();
    const labels = labelBytes('m', { run: 'r', long: 'x'.repeat(300), empty: '', half: '\ud800', Upper: 'ü💥' });
    const values = [0, -0, 1 / 3, 5e-324, Number.MAX_VALUE, Infinity, -Infinity, Number.NaN];
    const times = [0, 1, 127, 128, 2 ** 28 - 1, 2 ** 28, 2 ** 35, 2 ** 53 - 1];
    encoder.add(labels, values, times);
    encoder.addStale(labels, now);
    expect(encoder.samples).toBe(9);
    const samples = written(encoder.bytes);
    expect(samples.map(({ value }) => value).slice(0, 8)).toEqual(values);
    expect(samples.map(({ time }) => time)).toEqual([...times, now]);
    expect(samples[7]?.bits).toBe(0x7ff8_0000_0000_0001n);
    expect(samples[8]?.bits).toBe(0x7ff0_0000_0000_0002n);
    expect(Object.entries(samples[0]?.labels ?? {})).toEqual([
      ['Upper', 'ü💥'],
      ['__name__', 'm'],
      ['half', '\ufffd'],
      ['long', 'x'.repeat(300)],
      ['run', 'r'],
    ]);
  });

  test("a trainer's NaN with the bits of a stale marker ends nothing", () => {
    const encoder = new RequestEncoder();
    const scalars = new Float64Array(new BigUint64Array([0x7ff0_0000_0000_0002n, 0n]).buffer);
    const record = afterHello(undefined, helloOf('run-1'), now);
    for (const _ of pack([partOf(record, [{ ...frameOf(0), scalars }])], encoder, 1000));
    const loss = written(encoder.bytes).find(({ labels }) => labels['__name__'] === 'outlierscope_loss');
    expect(loss?.bits).toBe(0x7ff8_0000_0000_0001n);
  });

  test('are full at about so many samples, and grow as far as one series needs', () => {
    const encoder = new RequestEncoder();
    const record = afterHello(undefined, helloOf('run-1'), now);
    const frames = Array.from({ length: 100 }, (_, sequence) => frameOf(sequence));
    const sizes: number[] = [];
    const names = new Set<string>();
    for (const _ of pack([partOf(record, frames), partOf(record, frames)], encoder, 250)) {
      sizes.push(encoder.samples);
      for (const { labels } of written(encoder.bytes)) names.add(keyOf(labels));
      encoder.clear();
    }
    expect(sizes).toEqual([300, 300, 300, 300, 300, 100]);
    expect(names.size).toBe(8);
    encoder.add(new Uint8Array(), new Float64Array(100_000), new Float64Array(100_000));
    expect(written(encoder.bytes)).toHaveLength(100_000);
  });

  test('have the names and labels of /metrics', async () => {
    const hello = helloOf('run-1', {
      metrics: [...metricsOfGroup('full'), 'unheard_of'],
      sites: [site('h0/residual'), site('ünï "💥" \\')],
      scalars: ['loss', 'learning_rate', 'gradient_norm', 'step_seconds', 'probe_seconds', 'mine "x"'],
      tags: { host: 'node-1', group: 'g', rank: '3', other: 'no' },
      config: { model: 'gpt', backend: 'wasm', layers: 2, host: 'not this' },
    });
    const values = Array.from({ length: 2 * hello.metrics.length }, (_, index) => index);
    const frame = frameOf(0, { values, scalars: [1, 2, 3, 4, 5, 6] });
    const record = afterFrame(afterHello(undefined, hello, now), frame, [], now)?.record as RunRecord;
    const encoder = new RequestEncoder();
    for (const _ of pack([partOf(record, [frame])], encoder, 100_000));
    // Of the server's own clock, and of what happened between scrapes, there is nothing to forward.
    const ofScrapes = /^(#|$|outlierscope_(server|run_last_frame|run_state|kurtosis_recent_max))|^(?!outlierscope_)/;
    const text = (await exposed(record, frame)).split('\n').filter((line) => !ofScrapes.test(line));
    const scraped = text.map((line) => {
      const [, name = '', labels = '', value] = /^(\w+)\{(.*)\} (\S+)$/.exec(line) ?? [];
      const pairs = [...labels.matchAll(/(\w+)="((?:\\.|[^"\\])*)"/g)].map(([, label, text]) => [
        label,
        JSON.parse(`"${text}"`),
      ]);
      return `${keyOf({ __name__: name, ...Object.fromEntries(pairs) })} ${value}`;
    });
    const sent = written(encoder.bytes).map(({ labels, value }) => `${keyOf(labels)} ${value}`);
    expect(sent.toSorted()).toEqual(scraped.toSorted());
  });

  test('at the end of a run mark the series that were sent, and no other', () => {
    const encoder = new RequestEncoder();
    const record = afterHello(undefined, helloOf('run-1', { sites: [site('a'), site('b'), site('never')] }), now);
    const part = partOf(record, [frameOf(0)]);
    for (const _ of pack([part], encoder, 1000));
    const before = written(encoder.bytes).map(({ labels }) => keyOf(labels));
    encoder.clear();
    const kept = new SeriesSet(part.sent.bytes);
    for (const _ of pack([{ ...part, frames: [], times: [], endsAt: 7, sent: kept }], encoder, 1000));
    const ends = written(encoder.bytes);
    expect(ends.map(({ labels }) => keyOf(labels))).toEqual(before);
    expect(new Set(ends.map(({ bits, time }) => `${bits} ${time}`))).toEqual(new Set([`${0x7ff0_0000_0000_0002n} 7`]));
  });

  test('are halved by time, then by place, down to one sample, and hold the same samples', () => {
    const encoder = new RequestEncoder();
    encoder.add(labelBytes('a', {}), [1, 2, 3], [10, 20, 30]);
    encoder.add(labelBytes('b', {}), [4, 5], [20, 30]);
    encoder.addStale(labelBytes('c', {}), 20);
    const all = samplesOf(encoder.bytes);
    expect(written(requestOf(all))).toEqual(written(encoder.bytes));
    const valuesOf = (half = all) => written(requestOf(half)).map(({ value }) => value);
    const [older, newer] = halve(all) ?? [];
    expect([valuesOf(older), valuesOf(newer)]).toEqual([[1], [2, 3, 4, 5, Number.NaN]]);
    expect(halve(older ?? [])).toBeUndefined();
    const [middle] = halve(newer ?? []) ?? [];
    expect(halve(middle ?? [])?.map((half) => valuesOf(half))).toEqual([[2], [4, Number.NaN]]);
  });
});

test('times are whole, not beyond the ceiling, and rise within a run', () => {
  const at = (...times: number[]) => times.map((time) => ({ time }));
  expect(timesOf(at(5.9, 5.9, 7, 6, -4, 100, 100), -1, 50)).toEqual([5, 6, 7, 8, 9, 50, 51]);
  expect(timesOf(at(-4, -3), -1, 50)).toEqual([0, 1]);
  expect(timesOf(at(5, 90), 80, 50)).toEqual([81, 82]);
  expect([isClamped(at(50.5, 4), 50), isClamped(at(4, 51), 50)]).toEqual([false, true]);
});

test('answers: taken, about the samples, or later', () => {
  const answer = (status: number, body = '', retryAfter: string | null = null) =>
    answerOf(status, retryAfter, body, now);
  expect(answer(204)).toEqual({ kind: 'taken' });
  expect(answer(400, 'out of order sample')).toMatchObject({ kind: 'refused', reason: 'out_of_order' });
  expect(answer(400, 'out of bounds\nmore')).toMatchObject({
    reason: 'out_of_bounds',
    detail: 'status 400: out of bounds',
  });
  expect(answer(409, 'duplicate sample for timestamp')).toMatchObject({ kind: 'refused', reason: 'duplicate' });
  expect(answer(413)).toMatchObject({ kind: 'refused', reason: 'too_large' });
  expect(answer(422, 'label limit')).toMatchObject({ kind: 'refused', reason: 'other' });
  expect(answer(500, 'too old sample')).toMatchObject({ kind: 'refused', reason: 'out_of_bounds' });
  for (const status of [302, 401, 403, 404, 429, 500, 502, 503])
    expect(answer(status)).toMatchObject({ kind: 'later', code: `http_${status}`, wait: undefined });
  expect(answer(429, '', '3')).toMatchObject({ wait: 3000 });
  expect(answer(503, '', new Date(now + 5000).toUTCString())).toMatchObject({ wait: 5000 });
  expect(answer(429, '', '999999')).toMatchObject({ wait: 3_600_000 });
  expect(answer(429, '', 'soon')).toMatchObject({ wait: undefined });
  expect(failureOf(Object.assign(new Error('fetch failed'), { cause: { code: 'ECONNREFUSED' } }))).toMatchObject({
    code: 'network',
    detail: 'not reached: ECONNREFUSED',
  });
  expect(failureOf(new DOMException('x', 'TimeoutError'))).toMatchObject({ code: 'timeout' });
});

test('tries come later and later up to the cap, with jitter, or when the receiver asked for', () => {
  const delays = [1, 2, 3, 100].map((failures) =>
    [0, 1].map((random) => retryDelay(failures, undefined, 5000, () => random)),
  );
  expect(delays).toEqual([
    [125, 250],
    [250, 500],
    [500, 1000],
    [2500, 5000],
  ]);
  expect(retryDelay(1, 9000, 5000, () => 0)).toBe(9000);
});

describe('the queue', () => {
  const run = (id: string, changes: Partial<StoredRun['news']> = {}, cursor: object = {}): StoredRun => ({
    news: { id, lastSequence: 9, frames: 10, state: 'connected', stateSince: 0, lastFrameAt: 500, ...changes },
    cursor: { ...beginningOf(id, new Uint8Array(32)), ...cursor },
  });
  const even = { sequence: 9, frames: 10, time: 400 };

  test('gives a run to one shard at a time, the one that has waited longest first', () => {
    const queue = new RunQueue(1000);
    for (const id of ['a', 'b']) queue.add(run(id), 1000);
    const a = queue.take();
    expect(a?.news.id).toBe('a');
    if (a === undefined) return;
    queue.renew(a, { ...a.news, lastSequence: 10, frames: 11 }, 1100);
    expect(queue.take()?.news.id).toBe('b');
    expect(queue.take()).toBeUndefined();
    a.cursor = { ...a.cursor, ...even };
    expect(queue.lag(2000)).toEqual({ lagFrames: 11, lagSeconds: 1.5 });
    queue.giveBack(a, 1200);
    expect(queue.take()).toBe(a);
    queue.forget('a');
    queue.giveBack(a, 1300);
    expect(queue.take()).toBeUndefined();
  });

  test('ends runs at once when they finished, after the grace time when they fell silent, and once', () => {
    const queue = new RunQueue(1000);
    queue.add(run('finished', { state: 'finished' }, even), 0);
    queue.add(run('silent', { state: 'silent', stateSince: 500 }, even), 1000);
    queue.add(run('connected', {}, even), 1000);
    queue.add(run('nothing sent', { state: 'failed', lastSequence: -1, frames: 0 }), 1000);
    const finished = queue.take();
    expect(finished?.news.id).toBe('finished');
    expect(queue.take()).toBeUndefined();
    queue.sweep(1499);
    expect(queue.isEmpty).toBe(true);
    queue.sweep(1500);
    expect(queue.take()?.news.id).toBe('silent');
    if (finished === undefined) return;
    finished.cursor = { ...finished.cursor, ended: true };
    queue.giveBack(finished, 2000);
    expect(queue.get('finished')).toBeUndefined();
    expect(queue.lag(2000)).toEqual({ lagFrames: 0, lagSeconds: 0 });
  });
});

test('cursors that come while others are written go together, and a failure is tried again', async () => {
  const calls: string[][] = [];
  let broken = true;
  const saver = createSaver(
    async (cursors) => {
      calls.push(cursors.map(({ runId, sequence }) => `${runId} ${sequence}`));
      if (broken) throw new Error('disk full');
    },
    () => {},
  );
  const cursor = (runId: string, sequence: number) => ({ ...beginningOf(runId, new Uint8Array()), sequence });
  saver.save(cursor('a', 1));
  await expect(saver.settled()).rejects.toThrow('disk full');
  broken = false;
  saver.save(cursor('b', 1));
  saver.save(cursor('a', 2));
  saver.save(cursor('b', 2));
  await saver.settled();
  expect(calls.slice(1).flat()).toEqual(expect.arrayContaining(['a 2', 'b 2']));
  expect(calls.at(-1)).not.toContain('a 1');
});

test('pages of frames are bounded by samples and by bytes, and hold one frame at least', () => {
  expect(framesFor({ sites: 100, metrics: 12, scalars: 1 }, 5000, 2 ** 23)).toBe(5);
  expect(framesFor({ sites: 4096, metrics: 0, scalars: 0 }, 5000, 2 ** 23)).toBe(3);
  expect(framesFor({ sites: 4096, metrics: 256, scalars: 0 }, 10, 1000)).toBe(1);
  expect(framesFor({ sites: 0, metrics: 0, scalars: 0 }, 1_000_000, 2 ** 23)).toBe(256);
});

test('the store keeps cursors for each receiver, tells what retention took, and forgets with the run', async () => {
  const folder = mkdtempSync(join(tmpdir(), 'outlierscope-cursor-'));
  const path = join(folder, 'runs.db');
  const store = openSqliteStore(path, { retention: { age: undefined, bytes: 1000 } });
  const reading = openForReading(path);
  try {
    let record = afterHello(undefined, helloOf('run-1'), now);
    const frames = Array.from({ length: 1000 }, (_, sequence) => frameOf(2 * sequence));
    for (const frame of frames) record = afterFrame(record, frame, [], now)?.record ?? record;
    const toStore = frames.map((frame) => ({
      ...{ runId: 'run-1', sequence: frame.sequence, step: frame.step, bytes: encodeFrame(frame, 2) },
    }));
    await store.commit({ runs: [record], frames: toStore.slice(0, 100), alerts: [] });
    const source = createSource(reading, 'one');
    expect(source.pending()).toMatchObject([
      { news: { id: 'run-1', frames: 1000 }, cursor: { sequence: -1, time: -1 } },
    ]);
    const cursor = {
      ...beginningOf('run-1', Uint8Array.of(1, 2)),
      sequence: 18,
      frames: 10,
      time: now,
      planned: 30,
      ceiling: 9,
    };
    await store.forwarded('one', [cursor, { ...cursor, runId: 'unknown' }]);
    expect(source.run('run-1')?.cursor).toEqual(cursor);
    expect(createSource(reading, 'other').run('run-1')?.cursor.sequence).toBe(-1);
    expect(source.behind(cursor, 5)).toMatchObject({ lastSequence: 28, expired: 0, unreadable: 0 });
    expect(source.behind(cursor, 50, 24).frames.map(({ frame }) => frame.sequence)).toEqual([20, 22, 24]);

    await store.commit({ runs: [record], frames: toStore.slice(100), alerts: [] });
    await expect.poll(() => store.expiredFrames('run-1'), { timeout: 20_000 }).toBeGreaterThan(600);
    const { frames: left, expired } = source.behind(cursor, 10_000);
    expect(10 + expired + left.length).toBe(1000);
    expect(left.at(-1)?.frame.sequence).toBe(1998);

    await store.deleteRun('run-1');
    await store.forwarded('one', [cursor]);
    expect(source.run('run-1')).toBeUndefined();
    const count = () => (reading.prepare('SELECT count(*) AS n FROM forwarded').all()[0] as { n: number }).n;
    await expect.poll(count, { timeout: 20_000 }).toBe(0);
  } finally {
    reading.close();
    await store.close();
    rmSync(folder, { recursive: true });
  }
});

/** A real Prometheus scrapes a server that is taking frames as fast as it can: what it stores are the frames' own values. */
import { once } from 'node:events';
import { createServer, request, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { type RunningServer, startServer } from '../../../server/index.ts';
import type { Frame } from '../../../src/frame.ts';
import { requireComponents } from '../../support/require-components.ts';
import { type QueryableServer, startPrometheus } from '../../support/servers.ts';
import { helloOf, join, site, type Trainer } from '../trainer.ts';

const sites = Array.from({ length: 40 }, (_, index) => site(`h${index}/residual`));
const runs = ['run-0', 'run-1', 'run-2', 'run-3'];
const metrics = ['kurtosis', 'rms'];

/** No two frames, sites or metrics share a value, and each has all the digits of a float32. */
const valueAt = (sequence: number, row: number, column: number): number =>
  Math.fround((1 + sequence + 1e6 * column) * (1 + row / 97)) / 128;

function frameAt(sequence: number): Frame {
  return {
    sequence,
    step: sequence,
    time: 1_700_000_000_000 + sequence,
    scalars: Float64Array.of(1 / (sequence + 1)),
    values: Float32Array.from({ length: sites.length * metrics.length }, (_, index) =>
      valueAt(sequence, Math.floor(index / metrics.length), index % metrics.length),
    ),
    topNeurons: { count: 0, indices: new Uint32Array(), shares: new Float32Array() },
  };
}

/** Sends a window of frames, waits for them, and so on. */
async function train(trainer: Trainer, isOver: () => boolean): Promise<number> {
  let sequence = 0;
  while (!isOver()) {
    for (const end = sequence + 50; sequence < end; sequence++) trainer.sendFrame(frameAt(sequence), metrics.length);
    await trainer.acknowledged(sequence - 1);
  }
  return sequence - 1;
}

/** Passes requests on with another Accept header: this Prometheus always prefers OpenMetrics. */
async function startTextOnly(port: number): Promise<Server> {
  const proxy = createServer((incoming, outgoing) => {
    request(
      { port, host: '127.0.0.1', path: incoming.url, headers: { Accept: 'text/plain', 'Accept-Encoding': 'identity' } },
      (answer) => {
        outgoing.writeHead(answer.statusCode ?? 502, answer.headers);
        answer.pipe(outgoing);
      },
    ).end();
  });
  await once(proxy.listen(0, '127.0.0.1'), 'listening');
  return proxy;
}

interface Series {
  readonly metric: Readonly<Record<string, string>>;
  readonly values: readonly (readonly [time: number, value: string])[];
}

requireComponents(['prometheus'])('Prometheus, while frames come in', () => {
  let server: RunningServer;
  let proxy: Server;
  let prometheus: QueryableServer;
  beforeAll(async () => {
    server = await startServer({ port: 0, database: ':memory:' });
    proxy = await startTextOnly(server.port);
    prometheus = await startPrometheus({
      scrapeInterval: '500ms', // and so long it waits for an answer, on a machine that is busy
      scrape: [
        { job: 'openmetrics', targets: [`127.0.0.1:${server.port}`] },
        { job: 'text', targets: [`127.0.0.1:${(proxy.address() as AddressInfo).port}`] },
      ],
    });
  });
  afterAll(async () => {
    await prometheus.stop();
    proxy.close();
    await server.close();
  });

  async function range(selector: string): Promise<Series[]> {
    const answer = await fetch(`${prometheus.url}/api/v1/query?query=${encodeURIComponent(`${selector}[5m]`)}`);
    return ((await answer.json()) as { data: { result: Series[] } }).data.result;
  }

  test('stores what the frames say in either format, each scrape of a run from one frame', async () => {
    let isOver = false;
    const trainers = await Promise.all(
      runs.map((id) => join(server.url, helloOf(id, { sites, metrics, scalars: ['loss'], topNeurons: 0 }))),
    );
    const training = trainers.map((trainer) => train(trainer, () => isOver));
    const scraped = async (job: string) =>
      (await range(`outlierscope_training_step{job="${job}",run="run-0"}`))[0]?.values.length ?? 0;
    for (const job of ['openmetrics', 'text'])
      await expect.poll(() => scraped(job), { timeout: 50_000 }).toBeGreaterThan(10);
    isOver = true;
    const last = await Promise.all(training);

    for (const job of ['openmetrics', 'text']) {
      for (const run of runs) {
        const labels = `{job="${job}",run="${run}"}`;
        const steps = new Map((await range(`outlierscope_training_step${labels}`))[0]?.values);
        expect(new Set(steps.values()).size, 'scrapes saw training go on').toBeGreaterThan(5);
        for (const [column, name] of metrics.entries()) {
          const found = await range(`outlierscope_${name}${labels}`);
          expect(found).toHaveLength(sites.length);
          for (const { metric, values } of found) {
            const row = sites.findIndex(({ name: label }) => label === metric['site']);
            const wrong = values.filter(
              // A scrape since the steps were asked for is not among them.
              ([time, value]) => steps.has(time) && Number(value) !== valueAt(Number(steps.get(time)), row, column),
            );
            expect(wrong, `${name} of ${metric['site']}`).toEqual([]);
          }
        }
      }
    }
    for (const [index, run] of runs.entries()) {
      const expected = { value: last[index] };
      await expect
        .poll(() => prometheus.query(`outlierscope_training_step{run="${run}"}`))
        .toMatchObject([expected, expected]);
      const total = (last[index] as number) + 1;
      await expect
        .poll(() => prometheus.query(`outlierscope_loss{run="${run}",job="text"}`))
        .toMatchObject([{ value: 1 / total }]);
    }
    const frames = last.reduce((sum, sequence) => sum + sequence + 1, 0);
    await expect
      .poll(() => prometheus.query('outlierscope_server_frames_stored_total'))
      .toMatchObject([{ value: frames }, { value: frames }]);
    // What differs between the formats is the text alone.
    const keys = async (job: string) =>
      (await prometheus.query(`{job="${job}",__name__=~"(outlierscope|nodejs|process)_.*"}`))
        .map(({ labels }) => JSON.stringify(Object.entries({ ...labels, job: '', instance: '' }).toSorted()))
        .toSorted();
    await expect
      .poll(async () => {
        const [text, openmetrics] = [await keys('text'), await keys('openmetrics')];
        return text.length > runs.length * sites.length && text.join() === openmetrics.join();
      })
      .toBe(true);
  }, 120_000);
});

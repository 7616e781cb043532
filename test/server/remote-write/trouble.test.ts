/** Outages, refusals and sudden ends: afterwards real receivers have what the store has, nothing lost and nothing twice. */
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join as joinPath } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterEach, beforeEach, expect, test, vi } from 'vitest';
import { type RunningServer, startServer } from '../../../server/index.ts';
import { openReadOnlyStore } from '../../../server/read-only-store.ts';
import type { Frame } from '../../../src/frame.ts';
import { type RunningProcess, startProcess } from '../../support/process.ts';
import { requireComponents } from '../../support/require-components.ts';
import { frameOf, helloOf, join, type Trainer } from '../trainer.ts';
import { countOf, expectSame, type Receiver, receivers, type Samples, samplesOfFrames } from './reading-back.ts';
import { type Refusal, type RefusingProxy, startRefusingProxy, type WrittenSample } from './refusing-proxy.ts';

/** How long the receiver is gone; `OUTLIERSCOPE_TEST_OUTAGE_SECONDS` shortens it. */
const outageSeconds = Number(process.env['OUTLIERSCOPE_TEST_OUTAGE_SECONDS'] ?? 20);
const patience = { timeout: 60_000, interval: 250 };

let folder: string;
let database: string;
const cleanUps: (() => Promise<unknown>)[] = [];
beforeEach(() => {
  folder = mkdtempSync(joinPath(tmpdir(), 'outlierscope-trouble-'));
  database = joinPath(folder, 'runs.db');
  vi.spyOn(console, 'error').mockImplementation(() => {});
});
afterEach(async () => {
  for (const cleanUp of cleanUps.splice(0).reverse()) await cleanUp();
  vi.restoreAllMocks();
  rmSync(folder, { recursive: true });
});

const logged = (): string => vi.mocked(console.error).mock.calls.join('\n');

async function startReceiver(kind: keyof typeof receivers): Promise<Receiver> {
  const receiver = await receivers[kind]();
  cleanUps.push(() => receiver.stop());
  return receiver;
}

async function startProxy(
  receiver: Receiver,
  judge: (samples: readonly WrittenSample[]) => Refusal | undefined,
): Promise<RefusingProxy> {
  const proxy = await startRefusingProxy(receiver.writeUrl, judge);
  cleanUps.push(() => proxy.close());
  return proxy;
}

async function start(url: string, endpoint: object = {}): Promise<RunningServer> {
  const server = await startServer({
    port: 0,
    database,
    remoteWrite: [{ url, maxRetrySeconds: 0.5, batchSamples: 200, shards: 2, ...endpoint }],
  });
  cleanUps.push(() => server.close());
  return server;
}

/** Frames of some runs as they are trained; what was sent of each. */
class Training {
  readonly #trainers = new Map<string, Trainer>();
  readonly #frames = new Map<string, Frame[]>();
  readonly #start = Date.now() - 120_000;

  async join(url: string, ids: readonly string[]): Promise<void> {
    for (const id of ids) this.#trainers.set(id, await join(url, helloOf(id)));
  }

  async train(count: number, pause = 0): Promise<void> {
    for (let done = 0; done < count; done++) {
      for (const [id, trainer] of this.#trainers) {
        const frames = this.#frames.get(id) ?? [];
        const sequence = frames.length;
        const values = [0, 1, 2, 3].map((index) => Math.fround(1 + index + sequence / 7));
        frames.push({ ...frameOf(sequence, { values }), time: this.#start + sequence * 100 });
        this.#frames.set(id, frames);
        trainer.sendFrame(frames.at(-1) as Frame);
      }
      if (pause > 0) await sleep(pause);
    }
    for (const [id, trainer] of this.#trainers)
      await trainer.acknowledged((this.#frames.get(id) as Frame[]).length - 1);
  }

  expected(): Samples {
    const samples: Samples = {};
    for (const [id, frames] of this.#frames) Object.assign(samples, samplesOfFrames(helloOf(id), frames));
    return samples;
  }

  async arrived(receiver: Receiver): Promise<void> {
    const expected = this.expected();
    await expect.poll(async () => countOf(await receiver.samples('{run!=""}')), patience).toBe(countOf(expected));
    expectSame(await receiver.samples('{run!=""}'), expected);
  }
}

const metrics = async (server: RunningServer): Promise<string> => (await fetch(`${server.url}/metrics`)).text();
const count = async (server: RunningServer, name: string, labels = ''): Promise<number> => {
  const lines = (await metrics(server)).split('\n');
  const found = lines.find(
    (line) => line.startsWith(`outlierscope_server_remote_write_${name}{`) && line.includes(labels),
  );
  return Number(found?.split(' ').at(-1));
};

const runs = ['run-1', 'run-2', 'run-3'];

for (const kind of ['prometheus', 'victoria-metrics'] as const) {
  requireComponents([kind])(`remote write into ${kind}`, () => {
    test(`goes on where it stopped after the receiver was gone for ${outageSeconds} s`, async () => {
      const receiver = await startReceiver(kind);
      const server = await start(receiver.writeUrl);
      const training = new Training();
      await training.join(server.url, runs);
      await training.train(50, 5);
      // VictoriaMetrics, when it is killed, loses what it acknowledged in the last seconds: that is not for a sender to mend.
      const ended = receiver.end(kind === 'prometheus' ? 'SIGKILL' : 'SIGTERM');
      await training.train(50, 5);
      await ended;
      await training.train(20, outageSeconds * 50);
      expect(await count(server, 'lag_frames')).toBeGreaterThan(0);
      expect((await fetch(`${server.url}/readyz`)).status).toBe(200);
      await receiver.restart();
      await training.train(50, 5);
      await training.arrived(receiver);
      await expect.poll(() => count(server, 'lag_frames')).toBe(0);
      expect(await count(server, 'requests_failed_total', 'code="network"')).toBeGreaterThan(0);
      expect(logged().match(/nothing is lost/g)?.length).toBeLessThan(4);
      expect(logged()).toContain('takes samples again');
    }, 120_000);

    test('waits out 429 and 500, and answers that were lost', async () => {
      const receiver = await startReceiver(kind);
      let requests = 0;
      const proxy = await startProxy(receiver, () => {
        requests += 1;
        if (requests > 40) return undefined;
        if (requests % 7 === 0) return { status: 429, headers: { 'Retry-After': '1' } };
        if (requests % 3 === 0) return { status: 500, body: 'for a while', afterwards: requests % 2 === 0 };
        return undefined;
      });
      const server = await start(proxy.url);
      const training = new Training();
      await training.join(server.url, runs);
      await training.train(100);
      await training.arrived(receiver);
      expect(await count(server, 'requests_failed_total', 'code="http_429"')).toBeGreaterThan(0);
      expect(await count(server, 'samples_retried_total')).toBeGreaterThan(0);
    }, 120_000);

    test('loses of requests that are answered 400 only the samples that are refused', async () => {
      const receiver = await startReceiver(kind);
      const isChosen = ({ labels, value }: Pick<WrittenSample, 'labels' | 'value'>): boolean =>
        labels['run'] === 'run-2' && labels['__name__'] === 'outlierscope_training_step' && value % 70 === 0;
      const proxy = await startProxy(receiver, (samples) =>
        samples.some(isChosen) ? { status: 400, body: 'not this one' } : undefined,
      );
      const server = await start(proxy.url);
      const training = new Training();
      await training.join(server.url, runs);
      await training.train(100);
      const all = training.expected();
      const expected = Object.fromEntries(
        Object.entries(all).map(([key, samples]) => [
          key,
          samples.filter(([, value]) => !isChosen({ labels: JSON.parse(key), value })),
        ]),
      );
      const refused = countOf(all) - countOf(expected);
      expect(refused).toBe(15);
      await expect.poll(async () => countOf(await receiver.samples('{run!=""}')), patience).toBe(countOf(expected));
      expectSame(await receiver.samples('{run!=""}'), expected);
      await expect.poll(() => count(server, 'samples_refused_total', 'reason="other"')).toBe(refused);
      expect(await count(server, 'samples_sent_total')).toBe(countOf(expected));
      expect(logged().match(/not this one/g)).toHaveLength(1);
    }, 120_000);

    test('goes on where it stopped after the server was killed, nothing twice', async () => {
      const receiver = await startReceiver(kind);
      let serve: RunningProcess | undefined;
      const serveAgain = async (): Promise<string> => {
        serve = await startProcess({
          name: 'outlierscope serve',
          command: process.execPath,
          args: ['dist/cli/main.js', 'serve', '--port', '0', '--database', database],
          env: { OUTLIERSCOPE_REMOTE_WRITE_URL: proxy.url, OUTLIERSCOPE_REMOTE_WRITE_BATCH: '200' },
          readyLine: /serves http/,
        });
        cleanUps.push(serve.stop);
        return /serves (\S+)/.exec(serve.output())?.[1] ?? '';
      };
      let killing = false;
      // The receiver has it, and the server dies before it hears so.
      const proxy = await startProxy(receiver, () => {
        if (!killing || serve === undefined) return undefined;
        process.kill(serve.pid, 'SIGKILL');
        killing = false;
        return { status: 500, afterwards: true };
      });
      const training = new Training();
      for (let round = 0; round < 3; round++) {
        const url = await serveAgain();
        await training.join(url, runs);
        const ahead = await join(url, helloOf(`ahead-${round}`));
        await training.train(40, 2);
        killing = true;
        for (let sequence = 0; sequence < 20; sequence++)
          ahead.sendFrame({ ...frameOf(sequence), time: Date.now() + 86_400_000 + sequence });
        await serve?.exited;
      }
      await serveAgain();
      const store = openReadOnlyStore(database);
      let frames = 0;
      for (const { id } of await store.runs()) {
        const stored: Frame[] = [];
        const all = { from: 0, to: Number.MAX_SAFE_INTEGER, lastSequence: Number.MAX_SAFE_INTEGER };
        for await (const page of store.frames(id, all)) stored.push(...page.map(({ frame }) => frame));
        stored.sort((one, other) => one.sequence - other.sequence);
        frames += stored.length;
        const expected = samplesOfFrames(helloOf(id), stored);
        const found = () => receiver.samples(`{run="${id}"}`);
        await expect.poll(async () => countOf(await found()), patience).toBe(countOf(expected));
        // Those with a clock that is a day ahead got other times, but each of them once.
        if (runs.includes(id)) expectSame(await found(), expected);
      }
      await store.close();
      expect(frames).toBeGreaterThanOrEqual(3 * 40 * runs.length);
    }, 120_000);
  });
}

requireComponents(['prometheus'])('remote write into prometheus', () => {
  test('counts samples that are out of bounds, in few requests, and sends what follows', async () => {
    const receiver = await startReceiver('prometheus');
    const server = await start(receiver.writeUrl);
    const recent = await join(server.url, helloOf('recent'));
    recent.sendFrame({ ...frameOf(0), time: Date.now() });
    await recent.acknowledged(0);
    await expect.poll(() => count(server, 'samples_sent_total'), patience).toBe(8);
    const old = await join(server.url, helloOf('old'));
    const times = [-36_000_000, -35_000_000, -30_000_000, -1000];
    for (const [sequence, time] of times.entries()) old.sendFrame({ ...frameOf(sequence), time: Date.now() + time });
    await expect.poll(() => count(server, 'samples_sent_total'), patience).toBe(16);
    expect(await count(server, 'samples_refused_total', 'reason="out_of_bounds"')).toBe(3 * 8);
    expect(Object.values(await receiver.samples('{run="old"}')).map((samples) => samples.length)).toEqual(
      Array(8).fill(1),
    );
  });
});

requireComponents(['victoria-metrics'])('remote write with a secret', () => {
  test('sends it and tells nobody; a wrong one loses nothing, and its file is read again', async () => {
    const receiver = await startReceiver('victoria-metrics');
    const tokenFile = joinPath(folder, 'token');
    writeFileSync(tokenFile, 'wrong-secret-1\n');
    let right = '';
    const proxy: RefusingProxy = await startProxy(receiver, () =>
      proxy.requests.at(-1)?.authorization === `Bearer ${right}` ? undefined : { status: 401, body: 'who are you?' },
    );
    right = 'right-secret-2';
    const server = await start(proxy.url, { tokenFile });
    const training = new Training();
    await training.join(server.url, runs);
    await training.train(10);
    await expect.poll(() => count(server, 'requests_failed_total', 'code="http_401"')).toBeGreaterThan(0);
    writeFileSync(tokenFile, `${right}\n`);
    await training.arrived(receiver);
    expect(proxy.requests.at(-1)).toMatchObject({
      'content-encoding': 'snappy',
      'content-type': 'application/x-protobuf',
      'x-prometheus-remote-write-version': '0.1.0',
    });
    expect(`${logged()}${await metrics(server)}`).not.toMatch(/secret-[12]/);
  });

  test('knows basic authentication, and refuses what cannot work at once', async () => {
    const receiver = await startReceiver('victoria-metrics');
    const proxy = await startProxy(receiver, () => undefined);
    const server = await start(proxy.url, { user: 'me', password: 'pass word: ü' });
    const training = new Training();
    await training.join(server.url, ['run-1']);
    await training.train(1);
    await training.arrived(receiver);
    const authorisation = `Basic ${Buffer.from('me:pass word: ü').toString('base64')}`;
    expect(proxy.requests.at(-1)?.authorization).toBe(authorisation);

    const begin = (options: object): Promise<unknown> =>
      startServer({ port: 0, database: joinPath(folder, 'other.db'), ...options });
    const url = proxy.url;
    const wrong: [object, RegExp][] = [
      [{ remoteWrite: [{ url, tokenFile: joinPath(folder, 'none') }] }, /cannot read the secret .* ENOENT/],
      [{ remoteWrite: [{ url }], database: ':memory:' }, /:memory:/],
      [{ remoteWrite: [{ url: 'http://me:secret@127.0.0.1/' }] }, /must not hold user and password/],
      [{ remoteWrite: [{ url: 'metrics.example.com' }] }, /must be an address like/],
      [{ remoteWrite: [{ url, user: 'me' }] }, /user and a password go together/],
      [{ remoteWrite: [{ url, token: 'a', tokenFile: 'b' }] }, /takes one of/],
      [{ remoteWrite: [{ url }, { url: `${url}?x=1` }] }, /must differ/],
      [{ remoteWrite: [{ url, externalLabels: { run: 'x' } }] }, /must be none of run, site, name/],
      [{ remoteWrite: [{ url, externalLabels: { __a: 'x' } }] }, /underscores/],
    ];
    for (const [options, message] of wrong) {
      const error = await begin(options).then(
        () => undefined,
        (reason: unknown) => reason,
      );
      expect(error).toMatchObject({ code: 'invalid-options', message: expect.stringMatching(message) });
      expect(String(error)).not.toContain('secret@');
    }
  });
});

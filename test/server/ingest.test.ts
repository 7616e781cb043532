import { once } from 'node:events';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { WebSocket } from 'ws';
import { type RunningServer, startServer } from '../../server/index.ts';
import { encodeFrame } from '../../src/frame.ts';
import { closeCodes, limits } from '../../src/messages.ts';
import { connect, frameOf, helloOf, join, site } from './trainer.ts';

let server: RunningServer;
beforeEach(async () => {
  server = await startServer({ port: 0, database: ':memory:' });
});
afterEach(() => server.close());

async function getJson<Answer>(path: string): Promise<Answer> {
  const response = await fetch(server.url + path);
  expect(response.status).toBe(200);
  return (await response.json()) as Answer;
}

interface RunView {
  state: string;
  frames: number;
  dropped: number;
  step: number | null;
  sites: { name: string }[];
  scalars: string[];
  latest: { sequence: number; values: Record<string, unknown>; scalars: Record<string, unknown> } | null;
}
const run = (id: string): Promise<RunView> => getJson(`/api/runs/${id}`);

async function serverMetric(line: string): Promise<number> {
  const text = await (await fetch(`${server.url}/metrics`)).text();
  const found = text.split('\n').find((each) => each.startsWith(`${line} `));
  return found === undefined ? Number.NaN : Number(found.split(' ').at(-1));
}

describe('a trainer', () => {
  test('is welcomed, and told when its frames are durable', async () => {
    const trainer = await join(server.url, helloOf('run-1'));
    expect(trainer.messages[0]).toMatchObject({
      type: 'welcome',
      protocol: 1,
      lastSequence: -1,
      limits: { frameBytes: limits.frameBytes },
    });
    for (let sequence = 0; sequence < 20; sequence++) trainer.sendFrame(frameOf(sequence));
    await trainer.acknowledged(19);
    expect(await run('run-1')).toMatchObject({ state: 'connected', frames: 20, step: 190, latest: { sequence: 19 } });
    expect(await serverMetric('outlierscope_server_frames_stored_total')).toBe(20);
    await trainer.close();
  });

  test('that comes back is told where it was, and frames that it sends again are acknowledged but not stored twice', async () => {
    const first = await join(server.url, helloOf('run-1'));
    for (const sequence of [0, 1, 2]) first.sendFrame(frameOf(sequence));
    await first.acknowledged(2);
    first.socket.terminate();
    await expect.poll(async () => (await run('run-1')).state).toBe('silent');

    const second = await join(server.url, helloOf('run-1'));
    expect(second.messages[0]).toMatchObject({ type: 'welcome', lastSequence: 2 });
    expect(await run('run-1')).toMatchObject({ state: 'connected', frames: 3 });
    second.sendFrame(frameOf(1, { kurtosis: 99 }));
    await second.acknowledged(2);
    second.sendFrame(frameOf(3));
    await second.acknowledged(3);
    expect(await run('run-1')).toMatchObject({ frames: 4, latest: { sequence: 3 } });
    expect(await getJson('/api/runs/run-1/frames/10')).toMatchObject({
      sequence: 1,
      values: { kurtosis: [1.5, 1.25] },
    });
    expect(await serverMetric('outlierscope_server_frames_duplicate_total')).toBe(1);
    await second.close();
  });

  test('may leave a gap in the sequence: it dropped frames', async () => {
    const trainer = await join(server.url, helloOf('run-1'));
    trainer.sendFrame(frameOf(0));
    trainer.sendFrame(frameOf(7));
    await trainer.acknowledged(7);
    trainer.send({ type: 'bye', outcome: 'finished', dropped: 6 });
    expect(await trainer.closed).toMatchObject({ code: 1000 });
    expect(await run('run-1')).toMatchObject({ frames: 2, dropped: 6, state: 'finished' });
    expect(await serverMetric('outlierscope_server_frames_dropped_total')).toBe(6);
  });

  test('that says goodbye stays finished or failed after its connection is gone', async () => {
    for (const outcome of ['finished', 'failed']) {
      const trainer = await join(server.url, helloOf(`run-${outcome}`));
      trainer.send({ type: 'bye', outcome });
      await trainer.closed;
      expect((await run(`run-${outcome}`)).state).toBe(outcome);
    }
  });

  test('may declare more sites and scalars, and send frames from before and after that', async () => {
    const trainer = await join(server.url, helloOf('run-1'));
    trainer.sendFrame(frameOf(0));
    trainer.send({ type: 'declare', sites: [site('late')], scalars: ['perplexity'] });
    trainer.sendFrame(frameOf(1, { values: [1, 2, 3, 4, 5, 6], scalars: [1, 2, 3] }));
    trainer.sendFrame(frameOf(2));
    await trainer.acknowledged(2);
    expect(await getJson('/api/runs/run-1/frames/10')).toMatchObject({
      values: { kurtosis: [1, 3, 5] },
      scalars: { perplexity: 3 },
    });
    expect(await run('run-1')).toMatchObject({
      sites: [{}, {}, { name: 'late' }],
      scalars: ['loss', 'accuracy', 'perplexity'],
      latest: { values: { kurtosis: [1.5, 1.25, null] }, scalars: { perplexity: null } },
    });
    await trainer.close();
  });

  test('that resumes with fewer sites than were declared keeps those that the run has', async () => {
    const first = await join(server.url, helloOf('run-1'));
    await first.close();
    const second = await join(server.url, helloOf('run-1', { sites: [site('h0/residual')] }));
    expect((await run('run-1')).sites.map((each) => each.name)).toEqual(['h0/residual', 'h1/residual']);
    await second.close();
  });

  test('with the run id of another that is connected takes its place', async () => {
    const older = await join(server.url, helloOf('run-1'));
    older.sendFrame(frameOf(0));
    await older.acknowledged(0);
    const newer = await join(server.url, helloOf('run-1'));
    expect(await older.closed).toMatchObject({ code: closeCodes.replaced });
    expect(newer.messages[0]).toMatchObject({ lastSequence: 0 });
    newer.sendFrame(frameOf(1));
    await newer.acknowledged(1);
    expect(await run('run-1')).toMatchObject({ state: 'connected', frames: 2 });
    await newer.close();
  });

  test('does not disturb another: both runs are whole', async () => {
    const trainers = await Promise.all(['run-a', 'run-b'].map((id) => join(server.url, helloOf(id))));
    for (let sequence = 0; sequence < 200; sequence++) {
      for (const [index, trainer] of trainers.entries())
        trainer.sendFrame(frameOf(sequence, { kurtosis: 1 + index + sequence / 1024 }));
    }
    await Promise.all(trainers.map((trainer) => trainer.acknowledged(199)));
    for (const [index, id] of ['run-a', 'run-b'].entries()) {
      const series = await getJson<{ values: number[][] }>(`/api/runs/${id}/series?metric=kurtosis&points=1000`);
      expect(series.values[0]).toEqual(Array.from({ length: 200 }, (_, sequence) => 1 + index + sequence / 1024));
    }
    await Promise.all(trainers.map((trainer) => trainer.close()));
  });

  test('may send message types of later versions, which are ignored', async () => {
    const trainer = await join(server.url, helloOf('run-1'));
    trainer.send({ type: 'something-new', field: 1 });
    trainer.sendFrame(frameOf(0));
    await trainer.acknowledged(0);
    await trainer.close();
  });
});

describe('a connection is closed', () => {
  const bytes = (change: (view: DataView) => void, frame = frameOf(0)): Uint8Array => {
    const encoded = encodeFrame(frame, 2);
    change(new DataView(encoded.buffer));
    return encoded;
  };
  const after: [string, unknown[], number, string][] = [
    ['for a frame before hello', [bytes(() => {})], closeCodes.helloExpected, 'before hello'],
    ['for a declare before hello', [{ type: 'declare' }], closeCodes.helloExpected, '"declare"'],
    [
      'for a type nested too deeply to be written',
      [`{"type":${'['.repeat(100_000)}${']'.repeat(100_000)}}`],
      closeCodes.helloExpected,
      'without a type',
    ],
    [
      'for a type of a megabyte',
      [{ type: 'x'.repeat(1_000_000) }],
      closeCodes.helloExpected,
      'must be hello, not "xxx',
    ],
    [
      'for a tag whose name is a megabyte',
      [{ ...helloOf('run-1'), tags: { ['x'.repeat(1_000_000)]: '' } }],
      closeCodes.malformed,
      'tags.xxx',
    ],
    ['for text that is no JSON', ['hello'], closeCodes.malformed, 'no JSON object'],
    ['for JSON that is no object', ['null'], closeCodes.malformed, 'no JSON object'],
    ['for a hello with a bad run id', [helloOf('../etc')], closeCodes.malformed, 'runId'],
    ['for a hello without sites', [{ ...helloOf('r'), sites: undefined }], closeCodes.malformed, 'sites'],
    [
      'for a hello of another protocol, whatever else it holds',
      [{ type: 'hello', protocol: 2 }],
      closeCodes.unsupportedVersion,
      'protocol 2',
    ],
    [
      'for a hello of another catalogue',
      [{ ...helloOf('r'), catalogue: 7 }],
      closeCodes.unsupportedVersion,
      'catalogue 7',
    ],
    [
      'for two sites of one name',
      [helloOf('r', { sites: [site('a'), site('a')] })],
      closeCodes.malformed,
      'two sites are named "a"',
    ],
    [
      'for a site whose name is no Unicode',
      [helloOf('r', { sites: [site('\ud800')] })],
      closeCodes.malformed,
      'Unicode',
    ],
    [
      'for a declared site that exists',
      [helloOf('r'), { type: 'declare', sites: [site('h0/residual')] }],
      closeCodes.malformed,
      'h0/residual',
    ],
    [
      'for too many sites',
      [
        helloOf('r', { sites: Array.from({ length: 4096 }, (_, i) => site(`${i}`)) }),
        { type: 'declare', sites: [site('x')] },
      ],
      closeCodes.malformed,
      '4097 sites',
    ],
    ['for a second hello', [helloOf('r'), helloOf('r')], closeCodes.malformed, 'second hello'],
    ['for a message without a type', [helloOf('r'), {}], closeCodes.malformed, 'without a type'],
    ['for a bye with a bad outcome', [helloOf('r'), { type: 'bye', outcome: 'won' }], closeCodes.malformed, 'outcome'],
    [
      'for a text of more than the limit',
      [helloOf('r'), `{"type":"x","padding":"${'x'.repeat(limits.textBytes)}"}`],
      closeCodes.tooLarge,
      'bytes',
    ],
    ['for a message of more than the limit', [helloOf('r'), new Uint8Array(limits.frameBytes + 1)], 1009, ''],
    ['for an empty frame', [helloOf('r'), new Uint8Array()], closeCodes.malformed, 'header'],
    [
      'for a frame cut short',
      [helloOf('r'), encodeFrame(frameOf(0), 2).subarray(0, -1)],
      closeCodes.malformed,
      'fewer than',
    ],
    [
      'for a frame of another kind',
      [helloOf('r'), bytes((view) => view.setUint8(0, 9))],
      closeCodes.malformed,
      'kind is 9',
    ],
    [
      'for a frame of another version',
      [helloOf('r'), bytes((view) => view.setUint8(1, 9))],
      closeCodes.malformed,
      'version is 9',
    ],
    [
      'for a negative sequence',
      [helloOf('r'), bytes((view) => view.setFloat64(16, -1, true))],
      closeCodes.malformed,
      'sequence is -1',
    ],
    [
      'for a step that is NaN',
      [helloOf('r'), bytes((view) => view.setFloat64(24, Number.NaN, true))],
      closeCodes.malformed,
      'step is NaN',
    ],
    [
      'for a time out of range',
      [helloOf('r'), bytes((view) => view.setFloat64(32, 1e17, true))],
      closeCodes.malformed,
      'time is',
    ],
    [
      'for a frame that claims billions of sites',
      [helloOf('r'), bytes((view) => view.setUint32(8, 0xffffffff, true))],
      closeCodes.malformed,
      'fewer than',
    ],
    [
      'for a frame of other metrics',
      [helloOf('r', { metrics: ['kurtosis'] }), encodeFrame(frameOf(0), 2)],
      closeCodes.malformed,
      '2 metrics, declared are 1',
    ],
    [
      'for a frame of more sites than declared',
      [helloOf('r', { sites: [site('a')] }), encodeFrame(frameOf(0), 2)],
      closeCodes.malformed,
      '2 sites',
    ],
    [
      'for a frame of more scalars than declared',
      [helloOf('r', { scalars: [] }), encodeFrame(frameOf(0), 2)],
      closeCodes.malformed,
      '2 scalars',
    ],
    [
      'for a frame of more top neurons than declared',
      [helloOf('r', { topNeurons: 1 }), encodeFrame(frameOf(0), 2)],
      closeCodes.malformed,
      '2 top neurons',
    ],
    [
      'for a frame after bye',
      [helloOf('r'), { type: 'bye', outcome: 'finished' }, encodeFrame(frameOf(0), 2)],
      closeCodes.malformed,
      'after bye',
    ],
  ];
  test.each(after)('%s', async (_title, sent, code, reason) => {
    const trainer = await connect(server.url);
    for (const each of sent) {
      if (each instanceof Uint8Array) trainer.socket.send(each);
      else trainer.send(each);
    }
    const closed = await trainer.closed;
    expect(closed).toMatchObject({ code, reason: expect.stringContaining(reason) });
    expect(Buffer.byteLength(closed.reason)).toBeLessThanOrEqual(123);

    // And the server is none the worse for it.
    const next = await join(server.url, helloOf('next'));
    next.sendFrame(frameOf(0));
    await next.acknowledged(0);
    await next.close();
  });

  test('for a hello that contradicts the run as it is stored', async () => {
    const first = await join(server.url, helloOf('run-1'));
    first.sendFrame(frameOf(0));
    await first.acknowledged(0);
    await first.close();
    for (const [changes, reason] of [
      [{ metrics: ['rms', 'kurtosis'] }, 'was begun with metrics kurtosis, rms'],
      [{ sites: [site('other'), site('another')] }, 'site 0 of this run is "h0/residual", not "other"'],
      [{ scalars: ['accuracy', 'loss'] }, 'scalar 0 of this run is "loss"'],
    ] as const) {
      const trainer = await connect(server.url);
      trainer.send({ ...helloOf('run-1'), ...changes });
      trainer.sendFrame(frameOf(1));
      expect(await trainer.closed).toMatchObject({
        code: closeCodes.malformed,
        reason: expect.stringContaining(reason),
      });
    }
    expect(await run('run-1')).toMatchObject({ frames: 1, sites: [{ name: 'h0/residual' }, { name: 'h1/residual' }] });
  });

  test('and the frames before the malformed one are kept', async () => {
    const trainer = await join(server.url, helloOf('run-1'));
    trainer.sendFrame(frameOf(0));
    trainer.sendFrame(frameOf(1));
    trainer.socket.send(new Uint8Array(3));
    expect(await trainer.closed).toMatchObject({ code: closeCodes.malformed });
    await expect.poll(() => run('run-1')).toMatchObject({ frames: 2, state: 'silent' });
  });

  test('and the refusal is counted by its reason', async () => {
    const trainer = await connect(server.url);
    trainer.send('{}');
    await trainer.closed;
    expect(await serverMetric('outlierscope_server_refused_total{reason="hello_expected"}')).toBe(1);
    await expect.poll(() => serverMetric('outlierscope_server_trainers')).toBe(0);
  });
});

test('names that are hostile to HTML, JSON, SQL and Prometheus arrive as they are', async () => {
  const name = `"'\\\n</script><b>&amp; ünï💥'); DROP TABLE runs;--`;
  const trainer = await join(
    server.url,
    helloOf('run-1', {
      runName: name,
      sites: [site(name)],
      scalars: [name, '__proto__'],
      topNeurons: 0,
      tags: { host: name },
      config: { model: name },
    }),
  );
  const empty = { count: 0, indices: new Uint32Array(), shares: new Float32Array() };
  trainer.sendFrame({ ...frameOf(0, { values: [1.5, 2.5], scalars: [7, 8] }), topNeurons: empty });
  await trainer.acknowledged(0);
  const view = await run('run-1');
  expect(view).toMatchObject({
    name,
    tags: { host: name },
    config: { model: name },
    sites: [{ name }],
    scalars: [name, '__proto__'],
  });
  expect(Object.entries(view.latest?.scalars ?? {})).toEqual([
    [name, 7],
    ['__proto__', 8],
  ]);
  await trainer.close();
});

test('a websocket with the Origin of another site, or called by another host name, is refused', async () => {
  for (const headers of [{ Origin: 'https://evil.example' }, { Origin: 'null' }, { Host: 'evil.example' }]) {
    for (const path of ['/v1/ingest', '/v1/live']) {
      const socket = new WebSocket(server.url.replace('http', 'ws') + path, { headers });
      const [error] = (await once(socket, 'error')) as [Error];
      expect(error.message).toContain('403');
    }
  }
  const own = await connect(server.url, { Origin: server.url });
  await own.close();
});

test('closing the server writes and acknowledges what had arrived, and says that it goes away', async () => {
  const trainer = await join(server.url, helloOf('run-1'));
  for (let sequence = 0; sequence < 50; sequence++) trainer.sendFrame(frameOf(sequence));
  await trainer.acknowledged(0);
  await server.close();
  expect(await trainer.closed).toMatchObject({ code: 1001 });
  await server.close();
});

/** Delivery as in a browser: in line, on the global WebSocket, without files. */
import { afterEach, beforeEach, expect, test } from 'vitest';
import { WebSocket } from 'ws';
import type { DeliveryReport, DeliverySettings } from '../../../plugin/delivery/delivery.ts';
import { openDelivery } from '../../../plugin/delivery/inline.ts';
import { startServer } from '../../../server/index.ts';
import { encodeFrame } from '../../../src/frame.ts';
import { frameOf, helloOf } from '../../server/trainer.ts';
import { storedRun, upTo } from '../../support/scope.ts';

const settings: DeliverySettings = {
  url: 'ws://127.0.0.1:1',
  token: undefined,
  bufferBytes: 1e6,
  spool: undefined,
  spoolBytes: 0,
  record: undefined,
};

const globals = globalThis as { WebSocket?: unknown };
const before = globals.WebSocket;
beforeEach(() => {
  globals.WebSocket = WebSocket; // Node 20 has none
});
afterEach(() => {
  globals.WebSocket = before;
});

test('frames arrive, and close says so', async () => {
  const server = await startServer({ port: 0, database: ':memory:' });
  const report = await new Promise<DeliveryReport>((resolve) => {
    const delivery = openDelivery({ ...settings, url: server.url.replace('http', 'ws') }, (event) => {
      if (event.kind === 'closed') resolve(event.report);
    });
    delivery.post({ kind: 'start', hello: helloOf('page'), beginning: 'fresh' });
    for (const sequence of upTo(20)) {
      delivery.post({ kind: 'frame', sequence, bytes: encodeFrame(frameOf(sequence, { step: sequence }), 2) });
    }
    delivery.post({ kind: 'close', outcome: 'finished', deadlineMilliseconds: 10_000 });
  });
  expect(report).toMatchObject({ accepted: 20, delivered: 20, safe: 0, recorded: 0 });
  expect((await storedRun(server.url, 'page')).steps).toEqual(upTo(20));
  await server.close();
});

test.each(['spool', 'record'] as const)('the option %s needs files, and says so before training', (option) => {
  expect(() => openDelivery({ ...settings, [option]: 'somewhere' }, () => {})).toThrow(
    new RegExp(`outlierMonitor: ${option}: there are no files here .*train in Node`),
  );
});

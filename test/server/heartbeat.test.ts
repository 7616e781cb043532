import { once } from 'node:events';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { expect, test } from 'vitest';
import { WebSocket, WebSocketServer } from 'ws';
import { keepHeartbeat } from '../../server/heartbeat.ts';

test('a peer that stops answering is dropped, one that answers stays', async () => {
  const http = createServer().listen(0, '127.0.0.1');
  await once(http, 'listening');
  const server = new WebSocketServer({ server: http });
  let lost = 0;
  const stop = keepHeartbeat(server, 50, () => {
    lost += 1;
  });
  const url = `ws://127.0.0.1:${(http.address() as AddressInfo).port}`;
  const alive = new WebSocket(url);
  let pings = 0;
  alive.on('ping', () => {
    pings += 1;
  });
  const dead = new WebSocket(url, { autoPong: false });
  const [code] = await once(dead, 'close');
  expect(code).toBe(1006); // No goodbye: it could not have heard one.
  const before = pings;
  await expect.poll(() => pings).toBeGreaterThan(before + 3);
  expect(lost).toBe(1);
  expect(alive.readyState).toBe(WebSocket.OPEN);
  stop();
  alive.terminate();
  server.close();
  http.close();
});

/**
 * Holds a websocket to a rate by not reading it for a while. That is gentler than closing it: TCP makes the sender wait, nothing is lost
 * or sent again, and a trainer's ring takes up what comes meanwhile.
 */
import type { WebSocket } from 'ws';
import { createBucket } from './access/rate.ts';
import type { Health } from './health.ts';
import type { ServerLimits } from './limits.ts';
import type { Pauses } from './pauses.ts';

/** Tells of each message; the returned function is to be called with its size. */
export function createThrottle(
  socket: WebSocket,
  pauses: Pauses,
  { messagesPerSecond, bytesPerSecond }: Pick<ServerLimits, 'messagesPerSecond' | 'bytesPerSecond'>,
  health: Pick<Health, 'throttledSeconds'>,
): (bytes: number) => void {
  const buckets = [
    ['messages', createBucket({ perSecond: messagesPerSecond, burst: messagesPerSecond })],
    ['bytes', createBucket({ perSecond: bytesPerSecond, burst: bytesPerSecond })],
  ] as const;
  let timer: NodeJS.Timeout | undefined;
  socket.on('close', () => clearTimeout(timer));

  return (bytes) => {
    buckets[0][1].take(1);
    buckets[1][1].take(bytes);
    // Messages that were read with this one still come while it is paused: they go on credit, and the next pause is longer.
    if (timer === undefined && buckets.some(([, bucket]) => bucket.wait(0) > 0)) pauseWhileInDebt();
  };

  function pauseWhileInDebt(): void {
    timer = undefined;
    const waits = buckets.map(([limit, bucket]) => ({ limit, wait: bucket.wait(0) }));
    const { limit, wait } = waits.reduce((longest, each) => (each.wait > longest.wait ? each : longest));
    if (wait === 0) {
      pauses.resume('rate');
      return;
    }
    pauses.pause('rate');
    health.throttledSeconds.inc({ limit }, wait / 1000);
    timer = setTimeout(pauseWhileInDebt, wait);
  }
}

/** A disk that fills up, for real: trainers are told to come back, readiness says why, and all goes on once there is room. */
import { execFileSync } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join as joinPath } from 'node:path';
import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest';
import { type RunningServer, startServer } from '../../server/index.ts';
import { encodeFrame } from '../../src/frame.ts';
import { closeCodes } from '../../src/messages.ts';
import { frameOf, helloOf, join } from './trainer.ts';

/** A file system of its own, in memory; only root may mount one. */
const canMount = process.platform === 'linux' && process.getuid?.() === 0 && mounts();

function mounts(): boolean {
  const folder = mkdtempSync(joinPath(tmpdir(), 'outlierscope-mount-'));
  try {
    execFileSync('mount', ['-t', 'tmpfs', '-o', 'size=1m', 'tmpfs', folder], { stdio: 'ignore' });
    execFileSync('umount', [folder]);
    return true;
  } catch {
    return false;
  } finally {
    rmSync(folder, { recursive: true });
  }
}

describe.skipIf(!canMount)('a full disk (needs root on Linux)', () => {
  let disk: string;
  let server: RunningServer;
  beforeEach(async () => {
    disk = mkdtempSync(joinPath(tmpdir(), 'outlierscope-disk-'));
    execFileSync('mount', ['-t', 'tmpfs', '-o', 'size=6m', 'tmpfs', disk]);
    vi.spyOn(console, 'error').mockImplementation(() => {});
    server = await startServer({ port: 0, database: joinPath(disk, 'runs.db') });
  });
  afterEach(async () => {
    await server.close();
    vi.restoreAllMocks();
    execFileSync('umount', [disk]);
    rmSync(disk, { recursive: true });
  });

  const large = (sequence: number): Uint8Array => {
    const bytes = new Uint8Array(100_000); // what follows the last array is kept too
    bytes.set(encodeFrame(frameOf(sequence), 2));
    return bytes;
  };
  const ready = (): Promise<Response> => fetch(`${server.url}/readyz`);

  test('sends trainers away until there is room, loses nothing that it acknowledged, and stores nothing twice', async () => {
    const trainer = await join(server.url, helloOf('a'));
    let sent = 0;
    const feed = setInterval(() => trainer.socket.send(large(sent++)), 5);
    expect(await trainer.closed).toMatchObject({ code: closeCodes.serverError });
    clearInterval(feed);
    const acknowledged = Math.max(
      ...trainer.messages.map((message) => (message.type === 'acknowledge' ? message.lastSequence : -1)),
    );
    expect(acknowledged).toBeGreaterThan(5);
    const refusal = await ready();
    expect(refusal.status).toBe(503);
    expect(await refusal.text()).toMatch(/full/);
    // What is there can still be read.
    const summary = (await (await fetch(`${server.url}/api/runs/a`)).json()) as { frames: number };
    expect(summary.frames).toBe(acknowledged + 1);

    execFileSync('mount', ['-o', 'remount,size=64m', disk]);
    await expect.poll(async () => (await ready()).status).toBe(200);
    const again = await join(server.url, helloOf('a'));
    expect(again.messages[0]).toMatchObject({ type: 'welcome', lastSequence: acknowledged });
    for (let sequence = 0; sequence < sent; sequence++) again.socket.send(large(sequence));
    await again.acknowledged(sent - 1);
    await again.close();
    const series = (await (await fetch(`${server.url}/api/runs/a/series?metric=kurtosis&points=10000`)).json()) as {
      steps: number[];
    };
    expect(series.steps).toEqual(Array.from({ length: sent }, (_, sequence) => sequence * 10));
  });
});

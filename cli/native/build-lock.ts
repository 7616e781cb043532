/**
 * One build at a time in one cache. The lock only saves work: each build has a directory of its own and appears by a
 * rename, so a lock taken over by mistake costs a second build and corrupts nothing.
 */
import { mkdirSync, readFileSync, renameSync, rmSync, statSync, utimesSync, writeFileSync } from 'node:fs';
import { hostname } from 'node:os';
import { dirname } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { z } from 'zod';

const HEARTBEAT_MILLISECONDS = 5000;
/** A holder on another machine (a shared cache) is seen by its heartbeat alone. */
const STALE_ELSEWHERE_MILLISECONDS = 2 * 60_000;
/** On this machine a living process may be suspended; but in the end its number belongs to somebody else. */
const STALE_HERE_MILLISECONDS = 30 * 60_000;

const holderSchema = z.object({ processId: z.number(), host: z.string() });
export type Holder = z.infer<typeof holderSchema>;

export interface BuildLock {
  release(): void;
}

/** Waits until the lock at `path` is free or abandoned, and takes it. `onWait` is told once who holds it. */
export async function acquireBuildLock(
  path: string,
  signal: AbortSignal,
  onWait: (holder: Holder | undefined) => void,
  pollMilliseconds = 500,
): Promise<BuildLock> {
  mkdirSync(dirname(path), { recursive: true });
  for (let waited = false; ; waited = true) {
    signal.throwIfAborted();
    if (tryToTake(path)) break;
    if (isAbandoned(path)) {
      putAside(path);
      continue;
    }
    if (!waited) onWait(readHolder(path));
    await delay(pollMilliseconds, undefined, { signal });
  }
  const heartbeat = setInterval(() => {
    try {
      utimesSync(path, new Date(), new Date());
    } catch {
      // Taken over: see above, nothing is lost.
    }
  }, HEARTBEAT_MILLISECONDS);
  heartbeat.unref();
  return {
    release() {
      clearInterval(heartbeat);
      const holder = readHolder(path);
      if (holder?.processId === process.pid && holder.host === hostname()) rmSync(path, { force: true });
    },
  };
}

function tryToTake(path: string): boolean {
  const holder: Holder = { processId: process.pid, host: hostname() };
  try {
    writeFileSync(path, JSON.stringify(holder), { flag: 'wx' });
    return true;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'EEXIST') return false;
    throw error;
  }
}

function isAbandoned(path: string): boolean {
  let age: number;
  try {
    age = Date.now() - statSync(path).mtimeMs;
  } catch {
    return false; // Released in the meantime.
  }
  const holder = readHolder(path);
  // Unreadable: its writer may be between creating and writing it.
  if (holder === undefined) return age > HEARTBEAT_MILLISECONDS;
  if (holder.host !== hostname()) return age > STALE_ELSEWHERE_MILLISECONDS;
  return !isAlive(holder.processId) || age > STALE_HERE_MILLISECONDS;
}

/** By a rename, so that of several who find the same lock abandoned one succeeds. */
function putAside(path: string): void {
  const aside = `${path}.${process.pid}`;
  try {
    renameSync(path, aside);
  } catch {
    return;
  }
  rmSync(aside, { force: true });
}

function readHolder(path: string): Holder | undefined {
  try {
    return holderSchema.parse(JSON.parse(readFileSync(path, 'utf8')));
  } catch {
    return undefined;
  }
}

function isAlive(processId: number): boolean {
  try {
    process.kill(processId, 0);
    return true;
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === 'EPERM';
  }
}

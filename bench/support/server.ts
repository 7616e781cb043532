/**
 * A server of its own that a benchmark stops, freezes and starts again, always at the same address. It runs at the lowest priority:
 * it stands for one on another machine, whose starting takes none of the trainer's processors.
 */
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, rmSync } from 'node:fs';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';

export const serverStates = ['running', 'stopped', 'frozen', 'restarting'] as const;
export type ServerState = (typeof serverStates)[number];

export interface UnsteadyServer {
  readonly url: string;
  /** Resolves when the server is in that state. */
  become(state: ServerState): Promise<void>;
  /** Ends it, and removes its database. */
  end(): Promise<void>;
}

/** A server that restarts is so long up, and so long down. */
const restartMilliseconds = 3000;
const main = fileURLToPath(new URL('../../dist/cli/main.js', import.meta.url));

export async function unsteadyServer(): Promise<UnsteadyServer> {
  const folder = mkdtempSync(join(tmpdir(), 'outlierscope-bench-'));
  const port = await freePort();
  let child: ChildProcess | undefined;
  let restarting: { isOver: boolean; readonly done: Promise<void> } | undefined;
  const kill = () => child?.kill('SIGKILL');
  process.once('exit', kill);

  async function start(): Promise<void> {
    if (child !== undefined) return;
    const args = [main, 'serve', '--host', '127.0.0.1', '--port', String(port), '--database', join(folder, 'bench.db')];
    const started = spawn('nice', ['-n', '19', process.execPath, ...args], { stdio: ['ignore', 'pipe', 'inherit'] });
    child = started;
    await Promise.race([once(started.stdout, 'data'), once(started, 'exit')]);
    started.stdout.resume();
    if (started.exitCode !== null) throw new Error(`the server ended with code ${started.exitCode}`);
  }

  async function stop(): Promise<void> {
    const stopped = child;
    child = undefined;
    if (stopped === undefined) return;
    const ended = once(stopped, 'exit');
    stopped.kill('SIGKILL'); // as a server falls: nobody says goodbye
    await ended;
  }

  function restartInLoop(): NonNullable<typeof restarting> {
    const loop = { isOver: false, done: Promise.resolve() };
    loop.done = (async () => {
      while (!loop.isOver) {
        await stop();
        await sleep(restartMilliseconds);
        await start();
        await sleep(restartMilliseconds);
      }
    })();
    return loop;
  }

  async function steady(): Promise<void> {
    if (restarting !== undefined) restarting.isOver = true;
    await restarting?.done;
    restarting = undefined;
    child?.kill('SIGCONT');
  }

  return {
    url: `http://127.0.0.1:${port}`,
    async become(state) {
      await steady();
      if (state === 'stopped') return stop();
      await start();
      if (state === 'frozen') child?.kill('SIGSTOP');
      if (state === 'restarting') restarting = restartInLoop();
    },
    async end() {
      await steady();
      await stop();
      process.off('exit', kill);
      rmSync(folder, { recursive: true, force: true });
    },
  };
}

async function freePort(): Promise<number> {
  const probe = createServer().listen(0, '127.0.0.1');
  await once(probe, 'listening');
  const { port } = probe.address() as { port: number };
  probe.close();
  await once(probe, 'close');
  return port;
}

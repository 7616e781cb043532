/** Child processes of tests: started, awaited until ready, and certain to end. */
import { type ChildProcess, spawn } from 'node:child_process';
import { existsSync, readFileSync } from 'node:fs';
import { createServer } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';

export interface ProcessOptions {
  /** What error messages call it. */
  name: string;
  command: string;
  args?: readonly string[];
  /** Added to this process's own environment. */
  env?: Readonly<Record<string, string>>;
  cwd?: string;
  /** Ready once this address answers 2xx. */
  readyUrl?: string;
  /** Ready once a line of output holds this. With neither, it is ready as soon as it runs. */
  readyLine?: string | RegExp;
  /** How long it may take to get ready. Default: 30 seconds. */
  readyWithinMs?: number;
  /** How long it may take to end after SIGTERM before SIGKILL. Default: 5 seconds. */
  stopWithinMs?: number;
}

export interface ProcessExit {
  code: number | null;
  signal: NodeJS.Signals | null;
}

export interface RunningProcess {
  readonly name: string;
  readonly pid: number;
  /** Standard output and standard error so far, interleaved; the last 64 Ki characters. */
  output(): string;
  readonly exited: Promise<ProcessExit>;
  /** SIGTERM, then SIGKILL. Resolves when the process is gone; may be called again. */
  stop(): Promise<ProcessExit>;
}

const KEPT_OUTPUT = 64 * 1024;
const SHOWN_OUTPUT = 4 * 1024;
const SETPRIV = '/usr/bin/setpriv';

const running = new Set<ChildProcess>();
let killingOnExit = false;

/**
 * Starts a process and waits until it is ready. Rejects, with the end of its output, when it ends or takes too long.
 * On Linux the kernel kills the child when this process dies, however it dies; elsewhere a hook on exit does.
 */
export async function startProcess(options: ProcessOptions): Promise<RunningProcess> {
  const { name, args = [], readyWithinMs = 30_000, stopWithinMs = 5_000 } = options;
  const dieWithParent = existsSync(SETPRIV) ? [SETPRIV, '--pdeathsig', 'KILL', '--'] : [];
  const [command = options.command, ...leading] = [...dieWithParent, options.command];
  const child = spawn(command, [...leading, ...args], {
    cwd: options.cwd,
    env: { ...process.env, ...options.env },
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  killOnExit(child);

  let captured = '';
  const capture = (chunk: string) => {
    captured = (captured + chunk).slice(-KEPT_OUTPUT);
  };
  child.stdout.setEncoding('utf8').on('data', capture);
  child.stderr.setEncoding('utf8').on('data', capture);

  const state: { exit?: ProcessExit } = {};
  const exited = exitOf(child, capture).then((exit) => {
    state.exit = exit;
    running.delete(child);
    return exit;
  });
  const stop = async (): Promise<ProcessExit> => {
    if (state.exit !== undefined) return state.exit;
    child.kill('SIGTERM');
    const killer = setTimeout(() => child.kill('SIGKILL'), stopWithinMs);
    return exited.finally(() => clearTimeout(killer));
  };

  const deadline = Date.now() + readyWithinMs;
  const tail = () => `The end of its output:\n${captured.slice(-SHOWN_OUTPUT) || '(none)'}`;
  for (;;) {
    const ready = await isReady(options, captured);
    if (state.exit !== undefined || child.pid === undefined) {
      const { code, signal } = await exited;
      const how = signal === null ? `code ${code}` : `signal ${signal}`;
      throw new Error(`${name} ended (${how}) before it was ready: ${options.command} ${args.join(' ')}\n${tail()}`);
    }
    if (ready) return { name, pid: child.pid, output: () => captured, exited, stop };
    if (Date.now() > deadline) {
      await stop();
      throw new Error(`${name} was not ready (${readyCondition(options)}) within ${readyWithinMs} ms. ${tail()}`);
    }
    await Promise.race([sleep(50), exited]);
  }
}

/** Resolves when the process is gone and its output is read. */
function exitOf(child: ChildProcess, capture: (text: string) => void): Promise<ProcessExit> {
  return new Promise((resolve) => {
    child.once('close', (code, signal) => resolve({ code, signal }));
    child.once('error', (error) => {
      capture(`${error.message}\n`);
      if (child.pid === undefined) resolve({ code: null, signal: null });
    });
    child.once('exit', (code, signal) => {
      // A grandchild may hold the output open for ever, and 'close' with it: do not wait for that one.
      const giveUp = setTimeout(() => {
        child.stdout?.destroy();
        child.stderr?.destroy();
        resolve({ code, signal });
      }, 500);
      child.once('close', () => clearTimeout(giveUp));
    });
  });
}

async function isReady({ readyUrl, readyLine }: ProcessOptions, output: string): Promise<boolean> {
  if (readyLine !== undefined) {
    const isMatch = (line: string) => (typeof readyLine === 'string' ? line.includes(readyLine) : readyLine.test(line));
    if (!output.split('\n').some(isMatch)) return false;
  }
  if (readyUrl === undefined) return true;
  try {
    const response = await fetch(readyUrl, { signal: AbortSignal.timeout(1_000) });
    await response.body?.cancel();
    return response.ok;
  } catch {
    return false; // Not listening yet.
  }
}

function readyCondition({ readyUrl, readyLine }: ProcessOptions): string {
  const conditions = [];
  if (readyLine !== undefined) conditions.push(`a line with ${readyLine}`);
  if (readyUrl !== undefined) conditions.push(`2xx from ${readyUrl}`);
  return conditions.join(' and ');
}

function killOnExit(child: ChildProcess): void {
  running.add(child);
  if (killingOnExit) return;
  killingOnExit = true;
  process.on('exit', () => {
    for (const each of running) each.kill('SIGKILL');
  });
}

/** Whether a process runs. One that has ended does not, though it keeps its pid until somebody has waited for it. */
export function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0); // asks only whether there is such a process
  } catch {
    return false;
  }
  if (process.platform !== 'linux') return true;
  try {
    return !/^State:\s*Z/m.test(readFileSync(`/proc/${pid}/status`, 'utf8'));
  } catch {
    return false; // It ended between the two questions.
  }
}

const givenPorts = new Set<number>();

/**
 * A port of 127.0.0.1 on which nothing listens. Taken below the range from which the system picks ports for outgoing
 * connections, so that no other test's connection can occupy it before the server that it is for.
 */
export async function freePort(): Promise<number> {
  for (let attempt = 0; attempt < 200; attempt++) {
    const port = 15_000 + Math.floor(Math.random() * 17_000);
    if (givenPorts.has(port) || !(await canListen(port))) continue;
    givenPorts.add(port);
    return port;
  }
  throw new Error('no free port of 127.0.0.1 found between 15000 and 32000 in 200 tries: close what listens there');
}

function canListen(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const server = createServer();
    server.once('error', () => resolve(false));
    server.listen(port, '127.0.0.1', () => server.close(() => resolve(true)));
  });
}

/** The demo's server: a process of its own, as in real use, so that the training does not hold up the page. */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, rmSync } from 'node:fs';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

export interface DemoServer {
  /** Address of the page. */
  readonly url: string;
  /** Resolves when the process has ended and its database is gone. */
  stop(): Promise<void>;
}

/** Starts `outlierscope serve` on the port, or on any free one when that is taken, with a database that goes with it. */
export async function startDemoServer(port: number): Promise<DemoServer> {
  const folder = mkdtempSync(join(tmpdir(), 'outlierscope-demo-'));
  const main = fileURLToPath(new URL('../main.js', import.meta.url));
  const chosen = (await isFree(port)) ? port : 0;
  const child = spawn(
    process.execPath,
    [main, 'serve', '--host', '127.0.0.1', '--port', String(chosen), '--database', join(folder, 'demo.db')],
    { stdio: ['ignore', 'pipe', 'pipe'], env: withoutServerSettings(process.env) },
  );
  // However the demo ends, its server does not outlive it.
  const kill = () => child.kill('SIGKILL');
  process.once('exit', kill);
  const ended = once(child, 'exit');
  let output = '';
  const url = await new Promise<string>((resolve, reject) => {
    for (const stream of [child.stdout, child.stderr]) {
      stream.setEncoding('utf8').on('data', (text: string) => {
        output = (output + text).slice(-4000);
        const address = /http:\/\/\S+/.exec(output);
        if (address !== null) resolve(address[0]);
      });
    }
    child.once('error', reject);
    child.once('exit', (code) =>
      reject(new Error(`the server ended with code ${code} before it listened:\n${output}`)),
    );
  });
  return {
    url,
    async stop() {
      child.kill('SIGTERM');
      const timer = setTimeout(kill, 5000);
      await ended;
      clearTimeout(timer);
      process.off('exit', kill);
      rmSync(folder, { recursive: true, force: true });
    },
  };
}

/** The demo's server is for the demo: settings of a real one, a token above all, are not for it. */
function withoutServerSettings(environment: NodeJS.ProcessEnv): NodeJS.ProcessEnv {
  return Object.fromEntries(Object.entries(environment).filter(([name]) => !name.startsWith('OUTLIERSCOPE_')));
}

async function isFree(port: number): Promise<boolean> {
  if (port === 0) return true;
  const probe = createServer();
  return new Promise((resolve) => {
    probe.once('error', () => resolve(false));
    probe.listen(port, '127.0.0.1', () => probe.close(() => resolve(true)));
  });
}

/** `outlierscope serve` of the built package, in a process of its own, on any free port. */
import { fileURLToPath } from 'node:url';
import { type RunningProcess, startProcess } from '../../test/support/process.ts';

export async function startServe(database: string): Promise<{ server: RunningProcess; port: number }> {
  const server = await startProcess({
    name: 'outlierscope serve',
    command: process.execPath,
    args: [
      fileURLToPath(new URL('../../dist/cli/main.js', import.meta.url)),
      ...['serve', '--port', '0', '--database', database],
    ],
    readyLine: /serves http/,
  });
  return { server, port: Number(/serves http\S+:(\d+)/.exec(server.output())?.[1]) };
}

import { createServer } from 'node:http';
import { fileURLToPath } from 'node:url';
import { expect, test } from 'vitest';
import { freePort, isAlive, startProcess } from './process.ts';

const node = (script: string) => ({ name: 'the script', command: process.execPath, args: ['-e', script] });

test('a process is ready once it prints the line', async () => {
  const child = await startProcess({
    ...node(`console.log('listening'); setInterval(() => {}, 1e9)`),
    readyLine: 'listening',
  });
  expect(child.output()).toBe('listening\n');
  expect(await child.stop()).toEqual({ code: null, signal: 'SIGTERM' });
  expect(isAlive(child.pid)).toBe(false);
  expect(await child.stop()).toEqual({ code: null, signal: 'SIGTERM' });
});

test('a process that ignores SIGTERM is killed', async () => {
  const script = `process.on('SIGTERM', () => {}); console.log('listening'); setInterval(() => {}, 1e9)`;
  const child = await startProcess({ ...node(script), readyLine: /^listening$/, stopWithinMs: 200 });
  expect(await child.stop()).toEqual({ code: null, signal: 'SIGKILL' });
});

test('a process that ends before it is ready is told with the end of its output', async () => {
  const starting = startProcess({
    ...node(`console.error('no such rule file'); process.exit(3)`),
    readyLine: 'listening',
  });
  await expect(starting).rejects.toThrow(
    /^the script ended \(code 3\) before it was ready: [\s\S]*no such rule file\n$/,
  );
});

test('a process that gets ready too late is stopped', async () => {
  const starting = startProcess({
    ...node(`console.log(process.pid); setInterval(() => {}, 1e9)`),
    readyUrl: `http://127.0.0.1:${await freePort()}/`,
    readyWithinMs: 1_000,
  });
  const error = await starting.then(
    () => undefined,
    (reason: Error) => reason,
  );
  expect(error?.message).toMatch(/^the script was not ready \(2xx from http:\/\/127\.0\.0\.1:\d+\/\) within 1000 ms/);
  expect(isAlive(Number(/^\d+$/m.exec(error?.message ?? '')?.[0]))).toBe(false);
});

test('a program that does not exist is told by its name', async () => {
  const starting = startProcess({ name: 'nothing', command: '/no/such/program', readyLine: 'listening' });
  await expect(starting).rejects.toThrow(/^nothing ended \(code -?\d+\) before it was ready: \/no\/such\/program/);
});

test.runIf(process.platform === 'linux')(
  'a child dies with its parent, even when that is killed outright',
  async () => {
    const module = fileURLToPath(new URL('./process.ts', import.meta.url));
    const script = `
    import { startProcess } from ${JSON.stringify(module)};
    const child = await startProcess({ name: 'child', command: 'sleep', args: ['600'] });
    console.log('child ' + child.pid);`;
    const parent = await startProcess({
      name: 'the parent',
      command: process.execPath,
      args: ['--import', 'tsx', '--input-type=module', '-e', script],
      readyLine: 'child ',
    });
    const childPid = Number(/child (\d+)/.exec(parent.output())?.[1]);
    expect(isAlive(childPid)).toBe(true);
    process.kill(parent.pid, 'SIGKILL');
    await parent.exited;
    await expect.poll(() => isAlive(childPid)).toBe(false);
  },
);

test('free ports are all different and can be listened on', async () => {
  const ports = await Promise.all(Array.from({ length: 20 }, freePort));
  expect(new Set(ports).size).toBe(20);
  const server = createServer();
  await new Promise<void>((resolve) => server.listen(ports[0], '127.0.0.1', resolve));
  await new Promise((resolve) => server.close(resolve));
});

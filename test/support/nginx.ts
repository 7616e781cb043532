/** A real nginx for tests of what stands behind a reverse proxy. */
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { mustFindComponent } from './components.ts';
import { freePort, startProcess } from './process.ts';
import type { TestServer } from './servers.ts';

/**
 * Starts nginx with one server on loopback.
 * @param serverBlock What stands inside `server { }`, for example `location / { proxy_pass http://127.0.0.1:9877; }`.
 * @param before What stands before it, such as an upstream.
 */
export async function startNginx(serverBlock: string, before = ''): Promise<TestServer> {
  const { path, environment } = mustFindComponent('nginx');
  const folder = await mkdtemp(join(tmpdir(), 'outlierscope-nginx-'));
  const address = `127.0.0.1:${await freePort()}`;
  const remove = () => rm(folder, { recursive: true, force: true });
  // Every path that nginx would otherwise take from its build is set: those folders are the system's.
  const uses = ['client_body', 'proxy', 'fastcgi', 'uwsgi', 'scgi'];
  const temporary = uses.map((use) => `${use}_temp_path ${folder}/${use};`);
  const config = `
    daemon off;
    master_process off; # one process: no worker can outlive it
    pid ${folder}/nginx.pid;
    error_log stderr notice;
    events {}
    http {
      access_log off;
      ${temporary.join('\n      ')}
      map $http_upgrade $connection_upgrade { default upgrade; '' close; } # for websockets
      ${before}
      server {
        listen ${address};
        location = /ready-for-tests { return 204; }
        ${serverBlock}
      }
    }`;
  try {
    const configFile = join(folder, 'nginx.conf');
    await writeFile(configFile, config);
    const url = `http://${address}`;
    const child = await startProcess({
      name: 'nginx',
      command: path,
      args: ['-e', 'stderr', '-p', folder, '-c', configFile],
      env: environment,
      cwd: folder,
      readyUrl: `${url}/ready-for-tests`,
    });
    return { url, address, process: child, folder, stop: () => child.stop().then(remove) };
  } catch (error) {
    await remove();
    throw error;
  }
}

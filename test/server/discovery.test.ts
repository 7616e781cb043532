/** A real Prometheus finds the server by its /api/sd, configured as docs/scale.md says, and scrapes it. */
import { readFileSync } from 'node:fs';
import { expect, test } from 'vitest';
import { startServer } from '../../server/index.ts';
import { requireComponents } from '../support/require-components.ts';
import { startPrometheus } from '../support/servers.ts';
import { frameOf, helloOf, join } from './trainer.ts';

requireComponents(['prometheus'])('Prometheus', () => {
  test('finds servers by HTTP service discovery', async () => {
    const token = 'discovery-token';
    const servers = await Promise.all([0, 1].map(() => startServer({ port: 0, database: ':memory:', token })));
    const documented = readFileSync(new URL('../../docs/scale.md', import.meta.url), 'utf8');
    expect(documented).toContain('http_sd_configs');
    const prometheus = await startPrometheus({
      discovery: { job: 'outlierscope', urls: servers.map(({ url }) => `${url}/api/sd`), bearerToken: token },
    });
    try {
      for (const [index, server] of servers.entries()) {
        const trainer = await join(server.url, helloOf(`run-${index}`, { token }));
        trainer.sendFrame(frameOf(3));
        await trainer.acknowledged(3);
      }
      await expect.poll(() => prometheus.query('outlierscope_training_step'), { timeout: 15_000 }).toHaveLength(2);
      const found = await prometheus.query('outlierscope_training_step');
      const instances = Object.fromEntries(found.map(({ labels }) => [labels['run'], labels['instance']]));
      expect(instances).toEqual({
        'run-0': `127.0.0.1:${servers[0]?.port}`,
        'run-1': `127.0.0.1:${servers[1]?.port}`,
      });
      const targets = await (await fetch(`${prometheus.url}/api/v1/targets`)).json();
      expect(targets).toMatchObject({
        data: { activeTargets: [{ discoveredLabels: { __meta_outlierscope_runs: expect.any(String) } }, {}] },
      });
    } finally {
      await prometheus.stop();
      await Promise.all(servers.map((server) => server.close()));
    }
  });
});

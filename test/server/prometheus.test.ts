/** A real Prometheus scrapes the server: what it answers is what the trainer sent. */
import { expect, test } from 'vitest';
import { startServer } from '../../server/index.ts';
import { metricsOfGroup, siteMetric } from '../../src/catalogue.ts';
import { requireComponents } from '../support/require-components.ts';
import { promtoolCheckMetrics, startPrometheus } from '../support/servers.ts';
import { frameOf, helloOf, join, site } from './trainer.ts';

requireComponents(['prometheus', 'promtool'])('Prometheus', () => {
  test('has every value of the frame, under hostile names too, and forgets the run after the grace time', async () => {
    const token = 'scrape-token';
    const server = await startServer({ port: 0, database: ':memory:', token, finishedGraceSeconds: 4 });
    const prometheus = await startPrometheus({
      scrapeInterval: '500ms', // and so long it waits for an answer, on a machine that is busy
      scrape: [{ job: 'outlierscope', targets: [`127.0.0.1:${server.port}`], bearerToken: token }],
    });
    try {
      const metrics = metricsOfGroup('full');
      const sites = ['h0/residual', `"'\\\n</script> ünï💥 {a="b"}`].map(site);
      const values = sites.flatMap((_, row) =>
        metrics.map((_, column) =>
          column === 3 && row === 1 ? Number.NaN : column === 4 ? Infinity : Math.fround((row + 1.1) / (column + 3)),
        ),
      );
      const hello = helloOf('run-1', {
        sites,
        metrics,
        scalars: ['loss', 'läuft "gut"'],
        topNeurons: 0,
        token,
        tags: { host: 'node-1' },
      });
      const trainer = await join(server.url, hello);
      const frame = {
        ...frameOf(12, { values, scalars: [0.1 + 0.2, -1e-300] }),
        topNeurons: { count: 0, indices: new Uint32Array(), shares: new Float32Array() },
      };
      trainer.sendFrame(frame, metrics.length);
      await trainer.acknowledged(12);

      const text = await (
        await fetch(`${server.url}/metrics`, { headers: { Authorization: `Bearer ${token}` } })
      ).text();
      expect(await promtoolCheckMetrics(text)).toEqual({ ok: true, output: '' });

      await expect
        .poll(() => prometheus.query('outlierscope_training_step{run="run-1"}'))
        .toMatchObject([{ value: 120 }]);
      for (const [column, name] of metrics.entries()) {
        const samples = await prometheus.query(`${siteMetric(name)?.prometheus.name}{run="run-1"}`);
        const found = Object.fromEntries(samples.map(({ labels, value }) => [labels['site'], value]));
        expect(found, name).toEqual(
          Object.fromEntries(sites.map(({ name: label }, row) => [label, values[row * metrics.length + column]])),
        );
      }
      expect(await prometheus.query('outlierscope_loss')).toMatchObject([{ value: 0.1 + 0.2 }]);
      expect(await prometheus.query('outlierscope_user_scalar')).toMatchObject([
        { labels: { run: 'run-1', name: 'läuft "gut"' }, value: -1e-300 },
      ]);
      expect(await prometheus.query('outlierscope_run_info')).toMatchObject([
        { labels: { run: 'run-1', name: 'name of run-1', host: 'node-1' }, value: 1 },
      ]);
      expect(await prometheus.query('outlierscope_alert_firing')).toMatchObject([
        { labels: { run: 'run-1', alert: 'KurtosisHigh', severity: 'warning' }, value: 0 },
      ]);
      expect(await prometheus.query('outlierscope_server_frames_stored_total')).toMatchObject([{ value: 1 }]);

      trainer.send({ type: 'bye', outcome: 'finished' });
      await trainer.closed;
      expect(await prometheus.query('outlierscope_training_step{run="run-1"}')).toHaveLength(1);
      await expect.poll(() => prometheus.query('outlierscope_training_step{run="run-1"}')).toEqual([]);
      expect(await prometheus.query('outlierscope_server_frames_stored_total')).toHaveLength(1);
    } finally {
      await prometheus.stop();
      await server.close();
    }
  });
});

/** What the benchmark sends to VictoriaMetrics arrives as what it means. */
import { expect, test } from 'vitest';
import { RequestEncoder, seriesLabels } from '../../bench/ingest/remote-write.ts';
import { requireComponents } from '../support/require-components.ts';
import { startVictoriaMetrics } from '../support/servers.ts';

requireComponents(['victoria-metrics'])('remote write of the benchmark', () => {
  test('VictoriaMetrics has every series with its labels and its last value', async () => {
    const server = await startVictoriaMetrics();
    try {
      const encoder = new RequestEncoder();
      const now = Date.now();
      const labels = seriesLabels('test', 7);
      for (const [index, each] of labels.entries()) encoder.add(each, [index, index + 0.5], [now - 60_000, now - 5000]);
      const body = new Uint8Array(encoder.take());
      const headers = { 'Content-Encoding': 'snappy' };
      const answer = await fetch(`${server.url}/api/v1/write`, { method: 'POST', headers, body });
      expect(answer.status).toBe(204);
      const samples = await server.query('{run="test-7"}');
      expect(samples).toHaveLength(labels.length);
      expect(samples.map(({ value }) => value).toSorted((a, b) => a - b)).toEqual(
        labels.map((_, index) => index + 0.5),
      );
    } finally {
      await server.stop();
    }
  });
});

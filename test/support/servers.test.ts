import { existsSync } from 'node:fs';
import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { afterEach, expect, test } from 'vitest';
import { collectProblems, launchBrowser } from './browser.ts';
import { startNginx } from './nginx.ts';
import { isAlive } from './process.ts';
import { requireComponents } from './require-components.ts';
import {
  promtoolCheckMetrics,
  startAlertmanager,
  startPrometheus,
  startPushgateway,
  startVictoriaMetrics,
  type TestServer,
} from './servers.ts';

const httpServers: Server[] = [];

afterEach(() => {
  for (const server of httpServers.splice(0)) server.close().closeAllConnections();
});

requireComponents(['prometheus'])('a real Prometheus', () => {
  test('scrapes its targets, answers queries, and is gone once stopped', async () => {
    const target = await serve('# TYPE kurtosis gauge\nkurtosis{site="h0"} +Inf\n');
    const prometheus = await startPrometheus({ scrape: [{ job: 'trainer', targets: [target] }] });
    try {
      await expect.poll(() => prometheus.query('up')).toMatchObject([{ labels: { job: 'trainer' }, value: 1 }]);
      expect(await prometheus.query('kurtosis')).toMatchObject([{ labels: { site: 'h0' }, value: Infinity }]);
      await expect(prometheus.query('up{')).rejects.toThrow(/the query up\{ was answered 400: .*parse error/);
    } finally {
      await stopAndExpectGone(prometheus);
    }
  });

  test('a configuration that it refuses is told with what it printed', async () => {
    const starting = startPrometheus({ scrapeInterval: 'often' });
    await expect(starting).rejects.toThrow(
      /prometheus ended \(code \d\) before it was ready[\s\S]*not a valid duration/,
    );
  });
});

requireComponents(['alertmanager'])('a real Alertmanager', () => {
  test('takes an alert, notifies the webhook, and is gone once stopped', async () => {
    const bodies: string[] = [];
    const webhook = await serve('', (body) => bodies.push(body));
    const alertmanager = await startAlertmanager({ webhookUrl: `http://${webhook}/` });
    try {
      const response = await fetch(`${alertmanager.url}/api/v2/alerts`, {
        method: 'POST',
        headers: { 'content-type': 'application/json' },
        body: JSON.stringify([{ labels: { alertname: 'KurtosisHigh' } }]),
      });
      expect(response.status).toBe(200);
      await expect.poll(() => bodies.join()).toContain('KurtosisHigh');
    } finally {
      await stopAndExpectGone(alertmanager);
    }
  });
});

requireComponents(['victoria-metrics'])('a real VictoriaMetrics', () => {
  test('stores a sample, answers queries soon after, and is gone once stopped', async () => {
    const victoria = await startVictoriaMetrics();
    try {
      await fetch(`${victoria.url}/api/v1/import/prometheus`, { method: 'POST', body: 'kurtosis{site="h0"} 3.5\n' });
      const samples = () => victoria.query('kurtosis');
      await expect.poll(samples).toMatchObject([{ labels: { site: 'h0' }, value: 3.5 }]);
    } finally {
      await stopAndExpectGone(victoria);
    }
  });
});

requireComponents(['pushgateway'])('a real Pushgateway', () => {
  test('exposes what is pushed, and is gone once stopped', async () => {
    const pushgateway = await startPushgateway();
    try {
      await fetch(`${pushgateway.url}/metrics/job/trainer`, { method: 'PUT', body: 'kurtosis 3.5\n' });
      const exposed = await fetch(`${pushgateway.url}/metrics`);
      expect(await exposed.text()).toMatch(/^kurtosis\{.*job="trainer".*\} 3\.5$/m);
    } finally {
      await stopAndExpectGone(pushgateway);
    }
  });
});

requireComponents(['promtool'])('promtool', () => {
  test('accepts sound exposition text', async () => {
    const text = '# HELP kurtosis How heavy the tails are.\n# TYPE kurtosis gauge\nkurtosis{site="h0"} 3.5\n';
    expect(await promtoolCheckMetrics(text)).toEqual({ ok: true, output: '' });
  });

  test('says what is wrong with malformed text', async () => {
    const { ok, output } = await promtoolCheckMetrics('kurtosis{site="h0} 3.5\n');
    expect(ok).toBe(false);
    expect(output).toContain('parsing error');
  });
});

requireComponents(['nginx'])('a real nginx', () => {
  test('passes requests on to the server behind it, and is gone once stopped', async () => {
    const behind = await serve('from behind');
    const nginx = await startNginx(`location / { proxy_pass http://${behind}; }`);
    try {
      expect(await (await fetch(`${nginx.url}/anything`)).text()).toBe('from behind');
    } finally {
      await stopAndExpectGone(nginx);
    }
  });
});

requireComponents(['chromium'])('a real browser', () => {
  test('opens a page and tells its problems', async () => {
    const refused = await serve('not here', undefined, 404);
    const browser = await launchBrowser();
    try {
      const page = await browser.newPage();
      const problems = collectProblems(page);
      await page.goto('data:text/html,<title>residual</title>');
      expect(await page.title()).toBe('residual');
      expect(problems).toEqual({ consoleErrors: [], failedRequests: [] });

      await page.goto(`http://${refused}/missing`);
      await page.evaluate("console.error('out of range'); setTimeout(() => { throw new Error('unheard') })");
      await expect
        .poll(() => problems.consoleErrors)
        .toEqual(expect.arrayContaining(['out of range', expect.stringContaining('unheard')]));
      expect(problems.failedRequests).toContain(`GET http://${refused}/missing: 404`);
    } finally {
      await browser.close();
    }
  });
});

/** Serves one text, or only a status, on loopback; gives its host:port. */
async function serve(text: string, onBody?: (body: string) => void, status = 200): Promise<string> {
  const server = createServer((request, response) => {
    let body = '';
    request.setEncoding('utf8').on('data', (chunk: string) => {
      body += chunk;
    });
    request.on('end', () => {
      onBody?.(body);
      response.writeHead(status, { 'content-type': 'text/plain' }).end(text);
    });
  });
  httpServers.push(server);
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  return `127.0.0.1:${(server.address() as AddressInfo).port}`;
}

async function stopAndExpectGone(server: TestServer): Promise<void> {
  const { pid } = server.process;
  expect([isAlive(pid), existsSync(server.folder)]).toEqual([true, true]);
  await server.stop();
  expect([isAlive(pid), existsSync(server.folder)]).toEqual([false, false]);
}

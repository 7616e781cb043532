/** Training in a page: the plugin bundled as users bundle it, in a real Chromium, delivering over the page's own WebSocket. */
import { readFileSync } from 'node:fs';
import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { build } from 'esbuild';
import { type RunningServer, startServer } from 'outlierscope/server';
import type { Browser, Page } from 'playwright-core';
import { afterAll, afterEach, beforeAll, beforeEach, expect, test } from 'vitest';
import { collectProblems, launchBrowser, type PageProblems, softwareWebGl } from '../support/browser.ts';
import { requireComponents } from '../support/require-components.ts';
import type { Trial } from './browser/page.ts';
import { expectParity } from './parity.ts';
import { parityCases } from './parity-cases.ts';
import type { StoredRun } from './watching.ts';

const at = (path: string): string => fileURLToPath(new URL(path, import.meta.url));
const wasmFolder = at('../../node_modules/@tensorflow/tfjs-backend-wasm/dist/');

requireComponents(['chromium'])('in a browser', () => {
  let browser: Browser;
  let site: Server;
  let origin: string;
  let server: RunningServer;
  let page: Page;
  let problems: PageProblems;

  beforeAll(async () => {
    const bundle = await build({
      entryPoints: [at('./browser/page.ts')],
      bundle: true,
      write: false,
      format: 'esm',
      platform: 'browser',
      logLevel: 'error',
    });
    const script = bundle.outputFiles[0]?.text as string;
    site = createServer((request, response) => {
      if (request.url === '/page.js') response.setHeader('Content-Type', 'text/javascript').end(script);
      else if (request.url?.startsWith('/wasm/')) {
        response.setHeader('Content-Type', 'application/wasm');
        response.end(readFileSync(join(wasmFolder, request.url.slice('/wasm/'.length))));
      } else if (request.url === '/') {
        response.setHeader('Content-Type', 'text/html');
        response.end('<!doctype html><link rel="icon" href="data:,"><script type="module" src="/page.js"></script>');
      } else response.writeHead(404).end();
    });
    await new Promise<void>((resolve) => site.listen(0, '127.0.0.1', resolve));
    origin = `http://127.0.0.1:${(site.address() as AddressInfo).port}`;
    server = await startServer({ port: 0, database: ':memory:', allowedOrigins: [origin] });
    browser = await launchBrowser(softwareWebGl);
  });
  afterAll(async () => {
    await browser?.close();
    await server?.close();
    site?.close();
  });
  beforeEach(async () => {
    page = await browser.newPage();
    problems = collectProblems(page);
    await page.goto(origin);
    await page.waitForFunction(() => 'trial' in globalThis);
  });
  afterEach(() => page.close());

  const run = <Argument, Result>(
    work: (trial: Trial, argument: Argument) => Result,
    argument: Argument,
  ): Promise<Awaited<Result>> =>
    page.evaluate(`(${work.toString()})(globalThis.trial, ${JSON.stringify(argument)})`) as Promise<Awaited<Result>>;

  const trainOn = async (backend: string): Promise<StoredRun & { values: number[][] }> => {
    expect(await run((trial, name) => trial.start(name), backend)).toBe(true);
    const trained = await run((trial, url) => trial.train(url), server.url.replace(/^http/, 'ws'));
    expect(trained).toMatchObject({ faults: 0, warnings: [], tensorsLeft: 0, report: { accepted: 5, delivered: 5 } });
    expect(problems).toEqual({ consoleErrors: [], failedRequests: [] });
    const answer = await fetch(`${server.url}/api/runs/${trained.runId}/series?metric=kurtosis`);
    return (await answer.json()) as StoredRun & { values: number[][] };
  };

  test('fit is measured and delivered, alike on every backend', async () => {
    const [cpu, wasm, webgl] = [await trainOn('cpu'), await trainOn('wasm'), await trainOn('webgl')];
    for (const each of [cpu, wasm, webgl]) {
      expect(each.steps).toEqual([0, 2, 4, 6, 8]);
      expect(each.sites).toEqual(['h0_add', 'h1_add', 'h2_add']);
      for (const [site_, row] of each.values.entries()) {
        for (const [index, value] of row.entries()) expect(value).toBeCloseTo(cpu.values[site_]?.[index] as number, 3);
      }
    }
  });

  // Without a graphics card every new shape takes seconds of compiling shaders on WebGL.
  const onWebGl = [
    '65 x 7, random',
    '513 x 65, one outlier',
    '[4, 9, 7, 24], convolutional',
    'bfloat16 times 1e-30',
    'random times 1000000000000000',
    'a NaN in a row that is not sampled',
    'all 0.7',
  ];
  test.each([
    ['wasm', 'host', parityCases.map(({ name }) => name)],
    ['webgl', 'device', onWebGl],
  ] as const)(
    'on %s, reduced on the %s, every metric is as defined',
    async (backend, place, names) => {
      expect(await run((trial, name) => trial.start(name), backend)).toBe(true);
      const measured = await run((trial, [where, of]) => trial.measure(where, of), [place, names] as const);
      const failures: string[] = [];
      for (const [index, name] of names.entries()) {
        try {
          const parityCase = parityCases.find((each) => each.name === name) as (typeof parityCases)[number];
          expectParity(parityCase, measured[index] as (typeof measured)[number]);
        } catch (error) {
          failures.push(`${name}: ${(error as Error).message}`);
        }
      }
      expect(failures).toEqual([]);
    },
    180_000,
  );
});

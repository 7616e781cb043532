/** The page in a real browser, before the real server, fed by a trainer that speaks the protocol. */
import { mkdirSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import type { Browser, BrowserContextOptions, Page } from 'playwright-core';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { type RunningServer, startServer } from '../../server/index.ts';
import { type Frame, noNeuron } from '../../src/frame.ts';
import type { Hello, Site } from '../../src/messages.ts';
import { collectProblems, launchBrowser, type PageProblems } from '../support/browser.ts';
import { freePort } from '../support/process.ts';
import { requireComponents } from '../support/require-components.ts';
import { helloOf, join, type Trainer } from './trainer.ts';

const pictures = fileURLToPath(new URL('../../test-output/', import.meta.url));
const metrics = ['kurtosis', 'input_correlation', 'rms', 'nonfinite'];
const sites: Site[] = Array.from({ length: 8 }, (_, index) => ({
  name: `h${index >> 1}/${index % 2 === 0 ? 'attention' : 'mlp'}`,
  kind: index % 2 === 0 ? 'attention' : 'mlp',
  path: `gpt/h${index >> 1}`,
  width: 128,
}));

function hello(runId: string, changes: Partial<Hello> = {}): Hello {
  return helloOf(runId, { sites, metrics, scalars: ['loss', 'learning_rate'], startedAt: Date.now(), ...changes });
}

/** A frame whose kurtosis grows with depth up to `worst` in the last site. */
function frame(sequence: number, worst: number, changes: { lastSite?: number; neuron?: number } = {}): Frame {
  const rows = sites.map((_, site) => {
    const kurtosis = 1 + (worst - 1) * (site / (sites.length - 1)) ** 2;
    return [site === sites.length - 1 ? (changes.lastSite ?? kurtosis) : kurtosis, 0.1 + site / 20, 1 + site / 4, 0];
  });
  const neuron = changes.neuron ?? 17;
  return {
    sequence,
    step: sequence * 5,
    time: Date.now(),
    scalars: Float64Array.from([5 * Math.exp(-sequence / 20) + 1.5, 0.01]),
    values: Float32Array.from(rows.flat()),
    topNeurons: {
      count: 2,
      indices: Uint32Array.from(sites.flatMap(() => [neuron, noNeuron])),
      shares: Float32Array.from(sites.flatMap(() => [0.25, Number.NaN])),
    },
  };
}

requireComponents(['chromium'])('the page', () => {
  let browser: Browser;
  let server: RunningServer;
  let page: Page;
  let problems: PageProblems;
  let requested: Set<string>;
  const trainers: Trainer[] = [];

  beforeAll(async () => {
    mkdirSync(pictures, { recursive: true });
    browser = await launchBrowser();
  });
  afterAll(() => browser.close());

  beforeEach(async () => {
    server = await startServer({ port: 0, database: ':memory:' });
  });
  afterEach(async () => {
    await page.context().close();
    await Promise.all(trainers.splice(0).map((trainer) => trainer.close()));
    await server.close();
  });

  async function open(path = '/', options: BrowserContextOptions = {}): Promise<void> {
    const context = await browser.newContext({ viewport: { width: 1280, height: 900 }, ...options });
    page = await context.newPage();
    problems = collectProblems(page);
    requested = new Set();
    page.on('request', (request) => requested.add(new URL(request.url()).host));
    page.on('websocket', (socket) => requested.add(new URL(socket.url()).host));
    await page.goto(server.url + path);
  }

  async function train(description: Hello, worst: readonly number[]): Promise<Trainer> {
    const trainer = await join(server.url, description);
    trainers.push(trainer);
    for (const [sequence, kurtosis] of worst.entries()) trainer.sendFrame(frame(sequence, kurtosis), metrics.length);
    if (worst.length > 0) await trainer.acknowledged(worst.length - 1);
    return trainer;
  }

  const figure = (label: string) => page.locator('.figures > div', { has: page.getByText(label, { exact: true }) });
  const cell = (row: string, column: number) =>
    page
      .locator('table.values tbody tr', { has: page.getByRole('rowheader', { name: row, exact: true }) })
      .locator('td')
      .nth(column);
  const valuesOfStep = (): Promise<string | null> => page.locator('section[aria-label="Values"] .count').textContent();

  /** How many different colours the first canvas of the heatmap holds: 1 where nothing was drawn. */
  const coloursOfHeatmap = (): Promise<number> =>
    page.evaluate(`(() => {
      const canvas = document.querySelector('.heatmap canvas');
      const pixels = new Uint32Array(canvas.getContext('2d').getImageData(0, 0, canvas.width, canvas.height).data.buffer);
      return new Set(pixels).size;
    })()`);

  test('shows a run, follows it live and raises its alerts, without errors and without asking any other host', async () => {
    const trainer = await train(hello('run-1', { runName: 'gpt-mini lr 1e-2' }), [1.2, 1.3, 1.5, 2, 2.5]);
    await open();

    await page.getByRole('heading', { level: 1, name: 'gpt-mini lr 1e-2' }).waitFor();
    await expect.poll(() => figure('Worst kurtosis').textContent()).toContain('2.50h3/mlp');
    expect(await figure('Step').textContent()).toContain('20');
    expect(await page.locator('#connection').textContent()).toContain('Live');
    expect(await cell('h3/mlp', 0).textContent()).toBe('2.50');
    expect(await coloursOfHeatmap()).toBeGreaterThan(20);
    expect(await page.locator('.firing').isVisible()).toBe(false);

    // Marked so that a reload of the page would show.
    await page.evaluate("document.body.dataset['visit'] = 'first'");
    for (const [index, worst] of [7.5, 8.25, 8.5].entries()) trainer.sendFrame(frame(5 + index, worst), metrics.length);
    await expect.poll(() => figure('Worst kurtosis').textContent()).toContain('8.50h3/mlp');
    await expect.poll(() => figure('Step').textContent()).toContain('35');
    await expect.poll(() => cell('h3/mlp', 0).textContent()).toBe('8.50');
    const alert = page.locator('.firing .alert');
    await alert.waitFor();
    expect(await alert.textContent()).toContain('KurtosisHigh');
    expect(await alert.textContent()).toContain('Lower the learning rate');
    await expect.poll(() => page.title()).toBe('(1) gpt-mini lr 1e-2 · outlierscope');
    expect(await page.evaluate("document.body.dataset['visit']")).toBe('first');

    await page.screenshot({ path: `${pictures}page-live.png`, fullPage: true });
    expect(problems).toEqual({ consoleErrors: [], failedRequests: [] });
    expect([...requested]).toEqual([new URL(server.url).host]);
  });

  test('shows what names a run as text, whatever it says', async () => {
    const hostile = `<img src=x onerror="document.body.dataset.broken = 1"><script>document.body.dataset.broken = 1</script>`;
    const named = sites.map((site, index) => ({ ...site, name: `<b>${index}</b>${hostile}`, path: hostile }));
    await train(hello('run-1', { runName: hostile, sites: named, tags: { [hostile]: hostile } }), [1.2, 9, 9]);
    await open();

    await page.locator('.firing .alert').waitFor();
    expect(await page.locator('h1').textContent()).toBe(hostile);
    expect(await page.locator('table.values tbody th').first().textContent()).toBe(`<b>0</b>${hostile}`);
    await page.locator('.heatmap').hover();
    await page.locator('.heatmap .tooltip').waitFor();
    expect(await page.locator('img[src="x"], main b b, main script').count()).toBe(0);
    expect(await page.evaluate("document.body.dataset['broken']")).toBeUndefined();
    expect(problems.consoleErrors).toEqual([]);
  });

  test('shows infinite values as such', async () => {
    const trainer = await train(hello('run-1'), [1.2, 1.3]);
    trainer.sendFrame(frame(2, 1.5, { lastSite: Number.POSITIVE_INFINITY }), metrics.length);
    await trainer.acknowledged(2);
    await open();

    await expect.poll(() => cell('h3/mlp', 0).textContent()).toBe('Infinity');
    expect(await page.locator('.legend-notes').textContent()).toContain('Infinity');
  });

  test('tells how to begin while there are no runs, and shows the first one that comes', async () => {
    await open();
    const example = page.locator('.blank pre');
    await example.waitFor();
    expect((await example.textContent())?.split('\n').filter(Boolean)).toHaveLength(4);
    expect(await example.textContent()).toContain(`url: 'ws://${new URL(server.url).host}'`);

    await train(hello('run-1', { runName: 'the first' }), [1.2]);
    await page.getByRole('heading', { level: 1, name: 'the first' }).waitFor();
    expect(await example.isVisible()).toBe(false);
    expect(new URL(page.url()).hash).toBe('#run=run-1');
  });

  test('keeps the run and the metric of its address, and changes them by links and keys', async () => {
    await train(hello('older', { runName: 'the older', startedAt: Date.now() - 60_000 }), [1.2, 1.3]);
    await train(hello('newer', { runName: 'the newer' }), [1.2, 4.5]);
    await open('/#run=older&metric=rms');
    await page.getByRole('heading', { level: 1, name: 'the older' }).waitFor();
    expect(await page.getByRole('radio', { name: 'RMS' }).isChecked()).toBe(true);

    await page.getByRole('link', { name: /the newer/ }).focus();
    await page.keyboard.press('Enter');
    await page.getByRole('heading', { level: 1, name: 'the newer' }).waitFor();
    await page.getByRole('radio', { name: 'RMS' }).focus();
    await page.keyboard.press('ArrowRight');
    await expect.poll(() => new URL(page.url()).hash).toBe('#run=newer&metric=nonfinite');
    await expect.poll(() => page.locator('.heatmap canvas').first().getAttribute('aria-label')).toContain('nonfinite');
  });

  test('reads a step under the keyboard cursor, and lets go of it', async () => {
    await train(hello('run-1'), [1.25, 1.5, 1.75, 2]);
    await open();
    await expect.poll(valuesOfStep).toBe('step 15, latest');
    await page.locator('.heatmap').focus();
    await page.keyboard.press('Home');
    await expect.poll(valuesOfStep).toBe('step 0');
    await expect.poll(() => cell('h3/mlp', 0).textContent()).toBe('1.25');
    expect(await page.locator('.heatmap .tooltip').textContent()).toContain('1.25');
    await page.keyboard.press('ArrowRight');
    await page.keyboard.press('Enter');
    await page.keyboard.press('Tab'); // away: the pinned step stays
    await expect.poll(valuesOfStep).toBe('step 5, pinned');
    await page.locator('.heatmap').focus();
    await page.keyboard.press('Escape');
    await expect.poll(valuesOfStep).toBe('step 15, latest');
  });

  test('names the line that the pointer is close to, keeps to its step while frames arrive, and zooms by dragging', async () => {
    const trainer = await train(hello('run-1'), [1.5, 2, 3, 4, 5, 6, 7, 8, 9]);
    await open();
    await expect.poll(valuesOfStep).toBe('step 40, latest');
    const plot = page.locator('.chart .u-over').first();
    const box = (await plot.boundingBox()) ?? { x: 0, y: 0, width: 0, height: 0 };
    const tooltip = page.locator('.chart .tooltip');
    for (let y = 5; y < box.height && !(await tooltip.isVisible()); y += 10) {
      await page.mouse.move(box.x + box.width / 2, box.y + y);
      await page.waitForTimeout(20);
    }
    await expect.poll(valuesOfStep).toBe('step 20');
    expect(await tooltip.textContent()).toBe('h3/mlpstep20kurtosis5'); // the highest line comes first from above
    expect(await cell('h3/mlp', 0).textContent()).toBe('5');

    for (const sequence of [9, 10, 11]) trainer.sendFrame(frame(sequence, 10), metrics.length);
    await expect.poll(() => figure('Frames').textContent()).toContain('12');
    expect(await valuesOfStep()).toBe('step 20');
    expect(await tooltip.textContent()).toBe('h3/mlpstep20kurtosis5');

    await page.mouse.down();
    await page.mouse.move(box.x + box.width * 0.75, box.y + 20, { steps: 4 });
    await page.mouse.up();
    await page.getByRole('button', { name: /^Steps \d+ – \d+, show all$/ }).click();
    await expect.poll(() => page.locator('.pictures .count').first().textContent()).toBe('8 sites × 12 steps');
  });

  test('lists a group as one entry with its ranks, pages a long list, searches it, and lets deleted runs go', async () => {
    for (let index = 0; index < 130; index++) {
      const early = await join(server.url, hello(`early-${index}`, { startedAt: index }));
      early.send({ type: 'bye', outcome: 'finished' });
      await early.closed;
    }
    const ranks = [10, 2].map((rank) => ({ group: 'job <7>', rank: String(rank) }));
    for (const tags of ranks) await train(hello(`rank-${tags.rank}`, { tags }), [1.2, 1.3]);
    await open('/#run=rank-2');
    const runs = page.locator('#runs');
    const links = runs.getByRole('link');
    await expect.poll(() => links.count()).toBe(100);
    const group = runs.locator('details.group');
    expect(await group.locator('summary .run-name').textContent()).toBe('job <7>');
    expect(await group.locator('summary').textContent()).toContain('2 ranks');
    expect(await group.getByRole('link').allTextContents()).toEqual([
      expect.stringContaining('rank 2'),
      expect.stringContaining('rank 10'),
    ]);
    expect(await group.getAttribute('open')).not.toBeNull();

    expect(await page.locator('#runs-more').textContent()).toContain('32 more');
    await page.getByRole('button', { name: 'Show more' }).click();
    await expect.poll(() => links.count()).toBe(132);
    expect(await page.locator('#runs-more').isVisible()).toBe(false);

    await page.getByRole('searchbox', { name: 'Search runs' }).fill('early-12');
    await expect.poll(() => links.count()).toBe(11);
    expect(await page.locator('#runs-more').textContent()).toContain('11 found');
    await page.getByRole('searchbox', { name: 'Search runs' }).fill('');
    await expect.poll(() => links.count()).toBe(100);

    // A run that is shown and one that is not, deleted by somebody else.
    await trainers.pop()?.close();
    await expect
      .poll(async () => (await fetch(`${server.url}/api/runs/rank-2`, { method: 'DELETE' })).status)
      .toBe(204);
    await page.getByRole('heading', { level: 1, name: 'name of rank-10' }).waitFor();
    expect(await group.count()).toBe(0);
    await fetch(`${server.url}/api/runs/early-129`, { method: 'DELETE' });
    await expect.poll(() => runs.getByText('name of early-129').count()).toBe(0);
    // The browser itself notes the 404 where a run went while the page was reading it.
    expect(problems.consoleErrors.filter((text) => !text.includes('404'))).toEqual([]);
  });

  test('comes back by itself after a restart of the server, and reads what it missed', async () => {
    const port = await freePort();
    await server.close();
    server = await startServer({ port, database: ':memory:' });
    await train(hello('run-1'), [1.2, 1.3]);
    await open();
    await expect.poll(() => figure('Frames').textContent()).toContain('2');

    await Promise.all([server.close(), page.locator('.notice').waitFor()]);
    expect(await page.locator('#connection').textContent()).toMatch(/Reconnecting/);
    trainers.length = 0;
    server = await startServer({ port, database: ':memory:' });
    await train(hello('run-1'), [1.2, 1.3, 3.5]);

    await expect.poll(() => figure('Frames').textContent(), { timeout: 20_000 }).toContain('3');
    await expect.poll(() => figure('Worst kurtosis').textContent()).toContain('3.50');
    expect(await page.locator('#connection').textContent()).toContain('Live');
    expect(await page.locator('.notice').isVisible()).toBe(false);
  });

  describe('of a server with tokens', () => {
    const token = 'open-sesame-and-close';
    beforeEach(async () => {
      await server.close();
      const limits = { failedSignInsPerMinute: 2 };
      server = await startServer({ port: 0, database: ':memory:', token, limits });
      trainers.push(await join(server.url, hello('run-1', { runName: 'guarded', token })));
    });

    async function signIn(text: string): Promise<void> {
      await page.getByLabel('Token').fill(text);
      await page.keyboard.press('Enter');
    }

    test('asks to sign in, watches live by a cookie that scripts cannot read, and signs out', async () => {
      await open();
      await signIn('wrong-as-can-be');
      await page.getByText('the token is not one of this server').waitFor();
      expect(await page.locator('h1').isVisible()).toBe(false);
      await signIn(token);
      await page.getByRole('heading', { level: 1, name: 'guarded' }).waitFor();
      await expect.poll(() => page.locator('#connection').textContent()).toContain('Live');
      trainers[0]?.sendFrame(frame(0, 4.25), metrics.length);
      await expect.poll(() => figure('Worst kurtosis').textContent()).toContain('4.25');

      const [cookie, ...others] = await page.context().cookies();
      expect(others).toEqual([]);
      expect(cookie).toMatchObject({
        name: `outlierscope-${server.port}`,
        httpOnly: true,
        secure: false,
        sameSite: 'Strict',
        expires: expect.closeTo(Date.now() / 1000 + 12 * 3600, -2),
      });
      const readable =
        '[document.cookie, location.href, ...Object.values(sessionStorage), ...Object.values(localStorage)]';
      expect(JSON.stringify(await page.evaluate(readable))).not.toContain(token);
      expect(await page.evaluate('document.cookie')).toBe('');
      await page.reload();
      await page.getByRole('heading', { level: 1, name: 'guarded' }).waitFor();
      await expect.poll(() => page.locator('#connection').textContent()).toContain('Live');

      await page.getByRole('button', { name: 'Sign out' }).click();
      await page.getByLabel('Token').waitFor();
      expect(await page.locator('h1').isVisible()).toBe(false);
      expect(await page.context().cookies()).toEqual([]);
      await page.reload();
      await page.getByLabel('Token').waitFor();
    });

    test('shows the form and no data once the session is over, in every tab', async () => {
      await open();
      await signIn(token);
      await page.getByRole('heading', { level: 1, name: 'guarded' }).waitFor();
      const other = await page.context().newPage();
      await other.goto(server.url);
      await other.getByRole('heading', { level: 1, name: 'guarded' }).waitFor();
      await other.getByRole('button', { name: 'Sign out' }).click();
      await page.getByLabel('Token').waitFor();
      expect(await page.locator('h1').isVisible()).toBe(false);
      expect(await page.locator('#runs').textContent()).toBe('');
    });

    test('says when to try again after too many wrong tokens, and takes none from its address', async () => {
      await open(`/?token=${token}`);
      for (const wrong of ['wrong-one-1', 'wrong-one-2']) {
        await signIn(wrong);
        await page.getByText('the token is not one of this server').waitFor();
      }
      await signIn(token);
      await page.getByText('too many wrong tokens from this address: try again in').waitFor();
    });
  });

  test.each([
    ['light', 380],
    ['dark', 380],
    ['light', 1280],
    ['dark', 2560],
  ] as const)('fits a %s screen of %i pixels', async (colorScheme, width) => {
    const rise = Array.from({ length: 120 }, (_, step) => 1.2 + 7 * Math.exp(-(((step - 50) / 18) ** 2)));
    await train(hello('run-1', { runName: 'gpt-mini lr 1e-2', tags: { block: 'pre-ln' } }), rise);
    await open('/', { viewport: { width, height: 900 }, colorScheme });
    await expect.poll(() => figure('Frames').textContent()).toContain('120');
    await expect.poll(coloursOfHeatmap).toBeGreaterThan(20);
    expect(await page.evaluate('document.documentElement.scrollWidth')).toBe(width);
    await page.screenshot({ path: `${pictures}page-${width}-${colorScheme}.png`, fullPage: true });
  });
});

/** A real browser for tests: Debian's chromium, driven by playwright-core. */
import { type Browser, chromium, type Page } from 'playwright-core';
import { mustFindComponent } from './components.ts';

/** What makes WebGL work without a graphics card. */
export const softwareWebGl = ['--use-angle=swiftshader', '--enable-unsafe-swiftshader', '--ignore-gpu-blocklist'];

/** Starts chromium without a window. Close it with `browser.close()`; it also ends with this process. */
export async function launchBrowser(graphics: readonly string[] = ['--disable-gpu']): Promise<Browser> {
  const { path, environment } = mustFindComponent('chromium');
  return chromium.launch({
    executablePath: path,
    env: { ...definedEnvironment(), ...environment },
    args: [
      '--headless',
      '--no-sandbox', // the sandbox refuses to run as root, which is what continuous integration runs as
      ...graphics,
      '--disable-quic',
      '--no-first-run',
      '--disable-background-networking',
      '--disable-component-update',
      '--disable-sync',
    ],
  });
}

export interface PageProblems {
  /** What the page wrote with console.error, and the exceptions that it did not catch. */
  readonly consoleErrors: string[];
  /** Requests without an answer, and answers of 400 and above. */
  readonly failedRequests: string[];
}

/** Collects a page's problems from now on; call it before the page is opened. */
export function collectProblems(page: Page): PageProblems {
  const problems: PageProblems = { consoleErrors: [], failedRequests: [] };
  page.on('console', (message) => {
    if (message.type() === 'error') problems.consoleErrors.push(message.text());
  });
  page.on('pageerror', (error) => problems.consoleErrors.push(String(error)));
  page.on('requestfailed', (request) => {
    problems.failedRequests.push(`${request.method()} ${request.url()}: ${request.failure()?.errorText ?? 'failed'}`);
  });
  page.on('response', (response) => {
    if (response.status() < 400) return;
    problems.failedRequests.push(`${response.request().method()} ${response.url()}: ${response.status()}`);
  });
  return problems;
}

function definedEnvironment(): Record<string, string> {
  const entries = Object.entries(process.env).filter((entry): entry is [string, string] => entry[1] !== undefined);
  return Object.fromEntries(entries);
}

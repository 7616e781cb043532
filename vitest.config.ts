import { defineConfig } from 'vitest/config';

export default defineConfig({
  test: {
    include: ['test/**/*.test.ts'],
    globalSetup: ['test/support/global-setup.ts'],
    reporters: ['default', './test/support/reporter.ts'],
    pool: 'forks', // native modules and child processes of a test file end with its process
    maxWorkers: 2, // the tests start real servers: more at once only makes all of them late
    testTimeout: 60_000,
    hookTimeout: 60_000,
    expect: { poll: { timeout: 20_000 } }, // Prometheus takes five seconds until its first scrape
  },
});

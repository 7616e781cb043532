/** The demo: native backend, server, training, summary. */
import { setTimeout as delay } from 'node:timers/promises';
import { outlierMonitor } from '../../plugin/index.ts';
import type { Alert } from '../../src/messages.ts';
import { type BackendChoice, chooseBackend } from '../backend.ts';
import { createProgress, type Progress } from '../progress.ts';
import { startDemoServer } from './server.ts';
import { settingsFor } from './settings.ts';
import { type DemoSummary, inWords, summarise } from './summary.ts';
import { buildModel, train } from './train.ts';

export interface DemoOptions {
  readonly steps: number;
  readonly backend: BackendChoice;
  readonly port: number;
  readonly seed: number;
  /** `json`: one JSON line last on stdout, progress on stderr. */
  readonly output: 'text' | 'json';
  /** `wait`: the page stays up until the signal. */
  readonly after: 'exit' | 'wait';
  readonly signal: AbortSignal;
}

/** Runs it all. The server is gone when this resolves or throws. */
export async function runDemo(options: DemoOptions): Promise<DemoSummary> {
  const stream = options.output === 'json' ? process.stderr : process.stdout;
  const progress = createProgress(stream, process.env);
  const backend = await chooseBackend(options.backend, { progress, signal: options.signal, setup: 'allowed' });
  const server = await startDemoServer(options.port);
  try {
    progress.note(`\nThe live page: ${server.url}\n`);
    const summary = await trainAndSummarise(options, backend, server.url, progress);
    progress.note(`\n${inWords(summary)}`);
    if (options.after === 'wait' && !options.signal.aborted) {
      progress.note(`\nThe page stays up at ${server.url} until you press Ctrl-C.`);
      await delay(2 ** 31 - 1, undefined, { signal: options.signal }).catch(() => {});
    }
    return summary;
  } finally {
    await server.stop();
  }
}

async function trainAndSummarise(
  { steps, seed, signal }: DemoOptions,
  backend: string,
  serverUrl: string,
  progress: Progress,
): Promise<DemoSummary> {
  const settings = settingsFor(backend);
  const model = buildModel(settings, seed);
  const parameters = model.countParams();
  const monitor = outlierMonitor({
    url: serverUrl.replace(/^http/, 'ws'),
    run: `demo: Pre-Norm GPT, lr ${settings.learningRate}`,
    every: settings.every,
    tags: { example: 'demo', norm: 'pre' },
    config: { ...settings, parameters, backend, seed },
    onAlert: (alert) => progress.note(alertLine(alert)),
  });
  const began = performance.now();
  const seconds = () => (performance.now() - began) / 1000;
  const step = progress.step(`Training ${(parameters / 1e6).toFixed(1)}M parameters`);
  await train(model, settings, {
    steps,
    seed,
    monitor,
    onStep: ({ step: done, loss }) => {
      const kurtosis = highestKurtosis(monitor.latest?.sites);
      const note = `step ${done} of ${steps}, loss ${loss.toFixed(2)}, kurtosis ${kurtosis.toFixed(2)}`;
      step.update(done / steps, note);
      if (done % 25 === 0) step.log(`  ${note}, ${(seconds() / done).toFixed(2)} s a step`);
      if (signal.aborted) model.stopTraining = true;
    },
  });
  step.done();
  const { delivered, undelivered } = await monitor.close();
  if (undelivered > 0) progress.note(`${undelivered} frames were not confirmed by the server in time.`);
  model.dispose();
  model.optimizer.dispose();
  return summarise(serverUrl, {
    backend,
    steps,
    frames: delivered,
    parameters,
    seconds: Math.round(seconds() * 10) / 10,
    run: monitor.runId,
    seed,
  });
}

function highestKurtosis(sites: ReadonlyMap<string, { metrics: { kurtosis?: number } }> | undefined): number {
  return Math.max(...[...(sites?.values() ?? [])].map(({ metrics }) => metrics.kurtosis ?? Number.NaN));
}

function alertLine(alert: Alert): string {
  return alert.state === 'firing'
    ? `\nALERT ${alert.rule} (${alert.severity}) at step ${alert.step}: ${alert.summary}\n  why:  ${alert.why}\n  next: ${alert.next}\n`
    : `\nResolved ${alert.rule} at step ${alert.step}: ${alert.metric} is ${alert.value.toPrecision(3)}\n`;
}

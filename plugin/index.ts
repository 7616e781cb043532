/**
 * `outlierscope`: the plugin for training processes.
 *
 *     const monitor = outlierMonitor({ url: 'ws://127.0.0.1:9877', run: 'gpt-mini lr 3e-3' });
 *     await model.fit(x, y, { epochs: 5, callbacks: [monitor] });
 *     await monitor.close();
 */
import { OutlierMonitor } from './monitor.ts';
import type { MonitorOptions } from './options.ts';

/** Makes a monitor: a TensorFlow.js callback, and `attach`, `step` and `tap` for loops of one's own. @throws OutlierscopeError for an option that is not right. */
export function outlierMonitor(options: MonitorOptions = {}): OutlierMonitor {
  return new OutlierMonitor(options);
}

export { OutlierscopeError } from '../src/errors.ts';
export type { Alert, Site, SiteKind } from '../src/messages.ts';
export { type Analysis, type AnalyzedSite, type AnalyzeOptions, analyze, type SkippedSite } from './analyze.ts';
export type { DeliveryReport } from './delivery/delivery.ts';
export type { StepReport } from './engine.ts';
export type { AttentionTensors } from './measure/attention.ts';
export type { CloseOptions, OutlierMonitor } from './monitor.ts';
export type { AttentionAdapter, AttentionCall, MonitorOptions } from './options.ts';
export type { StepMeasurement } from './recorder.ts';

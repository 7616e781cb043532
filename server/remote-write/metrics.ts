/** Remote write's own metrics on the server's registry, each with the receiver's address as `endpoint`. */
import { Counter, Gauge, type Registry } from 'prom-client';
import { refusalReasons } from './answers.ts';
import { lossReasons, type Report } from './report.ts';

export interface RemoteWriteMetrics {
  begin(endpoint: string, shards: number): void;
  report(endpoint: string, report: Report): void;
}

const prefix = 'outlierscope_server_remote_write';

export function createRemoteWriteMetrics(registry: Registry): RemoteWriteMetrics {
  const registers = [registry];
  const counter = <Label extends string = never>(name: string, help: string, ...labels: Label[]) =>
    new Counter({ name: `${prefix}_${name}`, help, labelNames: ['endpoint', ...labels], registers });
  const gauge = (name: string, help: string) =>
    new Gauge({ name: `${prefix}_${name}`, help, labelNames: ['endpoint'], registers });

  const sent = counter('samples_sent_total', 'Samples that the receiver took.');
  const refused = counter('samples_refused_total', 'Samples that the receiver refused for good, by reason.', 'reason');
  const retried = counter('samples_retried_total', 'Samples that were sent again after a failure.');
  const failed = counter('requests_failed_total', 'Requests that were not taken and are tried again, by code.', 'code');
  const lost = counter('frames_lost_total', 'Stored frames that were never sent, by reason.', 'reason');
  const lagFrames = gauge('lag_frames', 'Stored frames that the receiver has not got yet.');
  const lagSeconds = gauge('lag_seconds', 'How long the oldest frame that the receiver has not got has waited.');
  const lastSuccess = gauge(
    'last_success_timestamp_seconds',
    'When the receiver last took samples, in seconds since 1970; 0 before.',
  );
  const shards = gauge('shards', 'Connections at once to the receiver.');

  return {
    begin(endpoint, count) {
      shards.set({ endpoint }, count);
      for (const each of [lagFrames, lagSeconds, lastSuccess]) each.set({ endpoint }, 0);
      // A counter that appears with its first event has no increase that an alert could see.
      for (const each of [sent, retried]) each.inc({ endpoint }, 0);
      for (const reason of refusalReasons) refused.inc({ endpoint, reason }, 0);
      for (const reason of lossReasons) lost.inc({ endpoint, reason }, 0);
      for (const code of ['network', 'timeout', 'http_429', 'http_500', 'http_503']) failed.inc({ endpoint, code }, 0);
    },
    report(endpoint, report) {
      sent.inc({ endpoint }, report.sent);
      retried.inc({ endpoint }, report.retried);
      for (const [reason, samples] of Object.entries(report.refused)) refused.inc({ endpoint, reason }, samples);
      for (const [code, requests] of Object.entries(report.failed)) failed.inc({ endpoint, code }, requests);
      for (const [reason, frames] of Object.entries(report.lost)) lost.inc({ endpoint, reason }, frames);
      lagFrames.set({ endpoint }, report.lagFrames);
      lagSeconds.set({ endpoint }, report.lagSeconds);
      if (report.lastSuccess !== undefined) lastSuccess.set({ endpoint }, report.lastSuccess);
    },
  };
}

/** The server's own metrics: every family declared here, in a registry of its own, all named outlierscope_server_*. */
import { Counter, collectDefaultMetrics, Gauge, Histogram, Registry } from 'prom-client';
import { type RefusalReason, refusalReasons } from './refusals.ts';

/** The counter of refusals: a reason that is none of the list does not compile. */
export interface Refusals {
  inc(labels: { readonly reason: RefusalReason }): void;
}

export interface Health {
  readonly registry: Registry;
  readonly framesReceived: Counter;
  readonly framesStored: Counter;
  readonly framesDuplicate: Counter;
  readonly framesDropped: Counter;
  readonly framesExpired: Counter;
  readonly refused: Refusals;
  readonly throttledSeconds: Counter<'limit'>;
  readonly trainers: Gauge;
  readonly viewers: Gauge;
  readonly viewerMessagesSkipped: Counter;
  readonly storeErrors: Counter;
  readonly storeSeconds: Histogram;
  readonly batchFrames: Histogram;
  readonly alerts: Counter<'rule' | 'state'>;
  readonly connections: Gauge;
  readonly scrapeSeconds: Histogram;
  readonly peerErrors: Counter;
  readonly faults: Counter;
}

/** Default metrics whose names promtool's linter refuses: gauges that end in `_total`. */
const badlyNamed = ['nodejs_active_handles_total', 'nodejs_active_requests_total', 'nodejs_active_resources_total'];

export function createHealth(): Health {
  const registry = new Registry();
  const registers = [registry];
  collectDefaultMetrics({ register: registry });
  for (const name of badlyNamed) registry.removeSingleMetric(name);
  const refused = new Counter({
    name: 'outlierscope_server_refused_total',
    help: 'Connections, requests and messages that the server refused, by reason.',
    labelNames: ['reason'],
    registers,
  });
  const throttledSeconds = new Counter({
    name: 'outlierscope_server_throttled_seconds_total',
    help: 'Seconds that the server did not read from a connection because it sent more than the limit allows.',
    labelNames: ['limit'],
    registers,
  });
  // A counter that appears with its first event has no increase that an alert could see.
  for (const reason of refusalReasons) refused.inc({ reason }, 0);
  for (const limit of ['messages', 'bytes']) throttledSeconds.inc({ limit }, 0);
  return {
    registry,
    framesReceived: new Counter({
      name: 'outlierscope_server_frames_received_total',
      help: 'Well-formed frames received from trainers.',
      registers,
    }),
    framesStored: new Counter({
      name: 'outlierscope_server_frames_stored_total',
      help: 'Frames made durable in the store.',
      registers,
    }),
    framesDuplicate: new Counter({
      name: 'outlierscope_server_frames_duplicate_total',
      help: 'Frames received again that the store held already.',
      registers,
    }),
    framesDropped: new Counter({
      name: 'outlierscope_server_frames_dropped_total',
      help: 'Frames that trainers said they had to drop because their ring was full.',
      registers,
    }),
    framesExpired: new Counter({
      name: 'outlierscope_server_frames_expired_total',
      help: 'Stored frames deleted because they were beyond the retention of their run; its roll-ups stay.',
      registers,
    }),
    refused,
    throttledSeconds,
    trainers: new Gauge({
      name: 'outlierscope_server_trainers',
      help: 'Connections of trainers that are open.',
      registers,
    }),
    viewers: new Gauge({
      name: 'outlierscope_server_viewers',
      help: 'Live connections of viewers that are open.',
      registers,
    }),
    viewerMessagesSkipped: new Counter({
      name: 'outlierscope_server_viewer_messages_skipped_total',
      help: 'Live messages not sent to a viewer that was too slow to take them.',
      registers,
    }),
    storeErrors: new Counter({
      name: 'outlierscope_server_store_errors_total',
      help: 'Transactions that the store failed, its background work included.',
      registers,
    }),
    storeSeconds: new Histogram({
      name: 'outlierscope_server_store_transaction_seconds',
      help: 'Duration of a store transaction, sync to disk included.',
      buckets: [0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 1, 5],
      registers,
    }),
    batchFrames: new Histogram({
      name: 'outlierscope_server_store_transaction_frames',
      help: 'Frames written by a store transaction.',
      buckets: [1, 2, 4, 8, 16, 32, 64, 128, 256, 1024],
      registers,
    }),
    alerts: new Counter({
      name: 'outlierscope_server_alerts_total',
      help: 'Alerts that began (state firing) or ended (state resolved), by rule.',
      labelNames: ['rule', 'state'],
      registers,
    }),
    connections: new Gauge({
      name: 'outlierscope_server_connections',
      help: 'TCP connections that are open: of trainers, viewers, and HTTP clients that keep theirs.',
      registers,
    }),
    scrapeSeconds: new Histogram({
      name: 'outlierscope_server_scrape_seconds',
      help: 'Duration of rendering /metrics, turns of the event loop that others had meanwhile included.',
      buckets: [0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5],
      registers,
    }),
    peerErrors: new Counter({
      name: 'outlierscope_server_peer_errors_total',
      help: 'Broken connections: protocol violations below the messages, resets, peers that stopped answering.',
      registers,
    }),
    faults: new Counter({
      name: 'outlierscope_server_faults_total',
      help: 'Unexpected errors inside the server that it survived: please report them.',
      registers,
    }),
  };
}

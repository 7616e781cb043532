/** Every limit of the server, with its default. What was refused for one is counted by reason (refusals.ts). */
import { z } from 'zod';
import { limits as protocol } from '../src/messages.ts';

const MiB = 1024 * 1024;
const whole = (least: number, most: number) => z.number().int().min(least).max(most);
const count = whole(1, 1_000_000_000);

const fields = {
  // A trainer's messages
  /** Bytes of any message; the welcome says so. */
  frameBytes: whole(1024, protocol.frameBytes).default(protocol.frameBytes),
  /** Bytes of a text message. */
  textBytes: whole(1024, protocol.textBytes).default(protocol.textBytes),
  /** For each connection of a trainer or viewer: beyond, the server reads on later. */
  messagesPerSecond: count.default(10_000),
  bytesPerSecond: whole(64 * 1024, 1_000_000_000_000).default(128 * MiB),
  // A run
  sites: whole(1, protocol.sites).default(protocol.sites),
  metrics: whole(1, protocol.metrics).default(protocol.metrics),
  scalars: whole(0, protocol.scalars).default(protocol.scalars),
  /** UTF-16 code units of any name. */
  nameLength: whole(1, protocol.nameLength).default(protocol.nameLength),
  /** Bytes of tags and config, as JSON. */
  descriptionBytes: whole(2, protocol.textBytes).default(64 * 1024),
  /** Runs that the server keeps, and how many of them may begin in an hour. */
  runs: count.default(20_000),
  runsPerHour: count.default(10_000),
  // Connections
  connections: count.default(8192),
  /** One address: IPv4, or a /64 of IPv6. */
  connectionsPerAddress: count.default(2048),
  trainers: count.default(4096),
  viewers: count.default(256),
  /** Bytes that all connections together may send before the server knows who they are. */
  unannouncedBytes: whole(64 * 1024, 1_000_000_000_000).default(64 * MiB),
  // Requests
  requestsPerSecond: count.default(200),
  headerBytes: whole(1024, MiB).default(16 * 1024),
  /** For the headers, and for the request as a whole. */
  headerSeconds: whole(1, 3600).default(10),
  requestSeconds: whole(1, 3600).default(30),
  // Scrapes
  /** That are answered at once; each holds its answer in memory. */
  scrapes: count.default(8),
  /** Series in /metrics: of a run, and of all runs. */
  runSeries: count.default(100_000),
  scrapeSeries: count.default(1_000_000),
  // Signing in
  failedSignInsPerMinute: count.default(10),
  sessions: count.default(1000),
  sessionSeconds: whole(1, 2_000_000).default(12 * 3600),
};

export const limitsSchema = z.strictObject(fields, {
  error: (issue) =>
    issue.code === 'unrecognized_keys'
      ? `unknown are ${issue.keys.join(', ')}; known are ${Object.keys(fields).join(', ')}`
      : undefined,
});

export type ServerLimits = z.infer<typeof limitsSchema>;

export const defaultLimits: ServerLimits = limitsSchema.parse({});

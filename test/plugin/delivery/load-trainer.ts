/**
 * A trainer as far as delivery sees it: posts frames as fast as it is told, in a loop that never yields, and says how it went.
 * Run as a program: its settings are the JSON in its first argument.
 */
import { openDelivery } from '../../../dist/plugin/delivery/node.js';
import type { DeliveryEvent, OpenDelivery } from '../../../plugin/delivery/delivery.ts';
import { encodeFrame } from '../../../src/frame.ts';
import { frameOf, helloOf } from '../../server/trainer.ts';

export interface LoadSettings {
  readonly runId: string;
  readonly url?: string;
  readonly spool?: string;
  readonly spoolBytes?: number;
  readonly bufferBytes?: number;
  readonly record?: string;
  readonly beginning?: 'fresh' | 'resumed';
  /** How many; without it until it is killed. */
  readonly frames?: number;
  /** After each frame. Default 1. */
  readonly pauseMilliseconds?: number;
  /** Of its close. Default 30,000. */
  readonly deadlineMilliseconds?: number;
  /** `vanish`: ends without a close. */
  readonly ending?: 'close' | 'vanish';
}

const settings = JSON.parse(process.argv[2] as string) as LoadSettings;
const { runId, frames = Number.POSITIVE_INFINITY, pauseMilliseconds = 1, beginning = 'fresh' } = settings;
const delivery = (openDelivery as OpenDelivery)(
  {
    url: settings.url,
    token: undefined,
    bufferBytes: settings.bufferBytes ?? 64 * 1024 * 1024,
    spool: settings.spool,
    spoolBytes: settings.spoolBytes ?? 256 * 1024 * 1024,
    record: settings.record,
  },
  (event: DeliveryEvent) => {
    if (event.kind === 'warning') process.stderr.write(`warning: ${event.text}\n`);
    if (event.kind === 'closed') process.stdout.write(`report ${JSON.stringify(event.report)}\n`);
  },
);
const clock = new Int32Array(new SharedArrayBuffer(4));
delivery.post({ kind: 'start', hello: helloOf(runId), beginning });
process.stdout.write('trains\n');
for (let sequence = 0; sequence < frames; sequence++) {
  delivery.post({ kind: 'frame', sequence, bytes: encodeFrame(frameOf(sequence, { step: sequence }), 2) });
  if (pauseMilliseconds > 0) Atomics.wait(clock, 0, 0, pauseMilliseconds); // as busy as a training step: it yields to nobody
  if (sequence % 16 === 0) delivery.poll();
}
if (settings.ending !== 'vanish') {
  delivery.post({ kind: 'close', outcome: 'finished', deadlineMilliseconds: settings.deadlineMilliseconds ?? 30_000 });
} else Atomics.wait(clock, 0, 0, 200);

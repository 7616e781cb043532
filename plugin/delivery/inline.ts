/** Delivery in a browser: the sender runs in line, on the page's own WebSocket. */
import { OutlierscopeError } from '../../src/errors.ts';
import type { DeliveryEvent, DeliverySettings, OpenDelivery } from './delivery.ts';
import { Sender } from './sender.ts';
import type { Socket } from './sender-parts.ts';

/** A browser does not tell of pings: a server that says nothing for four of its own is taken for gone. */
const silenceMilliseconds = 60_000;

/** @throws OutlierscopeError `invalid-option` for what needs files. */
export const openDelivery: OpenDelivery = (settings: DeliverySettings, onEvent: (event: DeliveryEvent) => void) => {
  const { url, bufferBytes } = settings;
  for (const option of ['spool', 'record'] as const) if (settings[option] !== undefined) throw needsFiles(option);
  if (url === undefined) throw needsFiles('record');
  const { WebSocket } = globalThis as unknown as { WebSocket: new (url: string) => Socket };
  return new Sender({ url, bufferBytes, silenceMilliseconds }, (address) => new WebSocket(address), onEvent);
};

function needsFiles(option: 'spool' | 'record'): OutlierscopeError {
  return new OutlierscopeError(`outlierMonitor: ${option}: there are no files here`, {
    code: 'invalid-option',
    hint: `leave ${option} out, or train in Node`,
  });
}

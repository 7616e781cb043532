/** Delivery in a browser: the sender runs in line, on the page's own WebSocket. */
import type { DeliveryEvent, DeliverySettings, OpenDelivery } from './delivery.ts';
import { Sender, type Socket } from './sender.ts';

export const openDelivery: OpenDelivery = (settings: DeliverySettings, onEvent: (event: DeliveryEvent) => void) => {
  const { WebSocket } = globalThis as unknown as { WebSocket: new (url: string) => Socket };
  return new Sender(settings, (url) => new WebSocket(url), onEvent);
};

/** What the monitor needs of delivery: the same in a worker thread (Node) and in line (browser). */
import type { Alert, Declare, Hello } from '../../src/messages.ts';

export interface DeliverySettings {
  readonly url: string;
  /** Bytes of unacknowledged frames kept; beyond, the oldest are dropped and counted. */
  readonly bufferBytes: number;
}

/** Frames count as accepted when they are handed over, as delivered when the server says that they are durable. */
export interface DeliveryReport {
  readonly accepted: number;
  readonly delivered: number;
  readonly dropped: number;
  /** Frames that the server had not confirmed by the deadline. */
  readonly undelivered: number;
}

export type DeliveryEvent =
  | { readonly kind: 'alert'; readonly alert: Alert }
  | { readonly kind: 'warning'; readonly text: string }
  | { readonly kind: 'closed'; readonly report: DeliveryReport };

export type DeliveryCommand =
  | { readonly kind: 'start'; readonly hello: Hello }
  | { readonly kind: 'declare'; readonly declare: Declare }
  | { readonly kind: 'frame'; readonly sequence: number; readonly bytes: Uint8Array<ArrayBuffer> }
  | { readonly kind: 'close'; readonly outcome: 'finished' | 'failed'; readonly deadlineMilliseconds: number };

/** Never throws, never blocks. `start` comes once, before the first frame; `declare` before the frames that need it; `close` last. */
export interface Delivery {
  post(command: DeliveryCommand): void;
  /** Hands over the events that have come by now: a loop that never yields would not hear of them otherwise. */
  poll(): void;
}

export type OpenDelivery = (settings: DeliverySettings, onEvent: (event: DeliveryEvent) => void) => Delivery;

/** What the monitor needs of delivery: the same in a worker thread (Node) and in line (browser). */
import type { Action, ActionResult, Alert, Declare, Hello } from '../../src/messages.ts';

export interface DeliverySettings {
  /** Undefined: no server, only the recording. */
  readonly url: string | undefined;
  /** What the server asks for; also for what earlier runs left in the spool. */
  readonly token: string | undefined;
  /** Bytes of unacknowledged frames kept in memory; beyond, the oldest are dropped and counted, but for those in the spool. */
  readonly bufferBytes: number;
  /** Folder that keeps unacknowledged frames over the end of the process. */
  readonly spool: string | undefined;
  /** Bytes that the spool may hold. */
  readonly spoolBytes: number;
  /** File that the run is written to. */
  readonly record: string | undefined;
}

/**
 * Frames count as accepted when they are handed over, as delivered when the server says that they are durable; without a server, when
 * they are in the recording. accepted = delivered + dropped + undelivered.
 */
export interface DeliveryReport {
  readonly accepted: number;
  readonly delivered: number;
  readonly dropped: number;
  /** Frames that the server had not confirmed by the deadline. */
  readonly undelivered: number;
  /** Of those, the ones in the spool: the next start with the same spool sends them. */
  readonly safe: number;
  /** Frames in the recording. */
  readonly recorded: number;
  /** Frames of earlier runs, left in the spool, that were delivered. */
  readonly recovered: number;
  /** How often the spool or the recording could not be written or read. */
  readonly diskFaults: number;
}

export const emptyReport: DeliveryReport = {
  accepted: 0,
  delivered: 0,
  dropped: 0,
  undelivered: 0,
  safe: 0,
  recorded: 0,
  recovered: 0,
  diskFaults: 0,
};

export type Outcome = 'finished' | 'failed';

export type DeliveryEvent =
  | { readonly kind: 'alert'; readonly alert: Alert }
  | { readonly kind: 'action'; readonly action: Action }
  /** The first welcome; `held` of the frames were at the server before. */
  | { readonly kind: 'welcomed'; readonly held: number }
  | {
      readonly kind: 'warning';
      readonly about: 'connection' | 'refusal' | 'server' | 'disk';
      readonly text: string;
      /** Of a connection or a refusal: what the other side or the network said. */
      readonly reason?: string;
    }
  | { readonly kind: 'closed'; readonly report: DeliveryReport };

/** `fresh`: the run begins. `resumed`: it goes on behind what the server has of it, which only the welcome tells. */
export type Beginning = 'fresh' | 'resumed';

export type DeliveryCommand =
  | { readonly kind: 'start'; readonly hello: Hello; readonly beginning: Beginning }
  | { readonly kind: 'declare'; readonly declare: Declare }
  | { readonly kind: 'frame'; readonly sequence: number; readonly bytes: Uint8Array<ArrayBuffer> }
  | { readonly kind: 'actionResult'; readonly result: ActionResult }
  | {
      readonly kind: 'close';
      readonly outcome: Outcome;
      readonly deadlineMilliseconds: number;
      /** Frames that were given up before they came here. */
      readonly dropped?: number;
    };

/** Never throws, never blocks. `start` comes once, before the first frame; `declare` before the frames that need it; `close` last. */
export interface Delivery {
  post(command: DeliveryCommand): void;
  /** Hands over the events that have come by now: a loop that never yields would not hear of them otherwise. */
  poll(): void;
}

export type OpenDelivery = (settings: DeliverySettings, onEvent: (event: DeliveryEvent) => void) => Delivery;

/** What the server refuses: the reasons that are counted, and the error that closes a trainer's connection. */
import type { closeCodes } from '../src/messages.ts';

/** Why the server refused or cut something: the label `reason` of `outlierscope_server_refused_total` (docs/security.md says what to do). */
export const refusalReasons = [
  // Who may
  'token_missing',
  'token_wrong',
  'token_scope',
  'sign_in_rate',
  'host',
  'origin',
  // The protocol
  'hello_expected',
  'malformed',
  'unsupported_version',
  'replaced',
  // Limits on what a run may be
  'message_size',
  'text_size',
  'sites',
  'metrics',
  'scalars',
  'name_length',
  'description_size',
  'runs',
  'runs_per_hour',
  // Limits on connections and requests
  'connections',
  'connections_per_address',
  'trainers',
  'viewers',
  'unannounced_bytes',
  'request_rate',
  'scrapes',
  'bad_request',
  'header_size',
  'body_size',
  'slow_request',
  // The server's own trouble
  'overloaded',
  'store',
] as const;

export type RefusalReason = (typeof refusalReasons)[number];

/** Thrown while a trainer's message is read: closes the connection with that code, and is counted under that reason. */
export class Refusal extends Error {
  readonly kind: keyof typeof closeCodes;
  readonly reason: RefusalReason;

  constructor(kind: keyof typeof closeCodes, reason: RefusalReason, text: string) {
    super(text);
    this.kind = kind;
    this.reason = reason;
  }
}

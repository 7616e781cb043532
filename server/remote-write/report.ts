/** What remote write has done and where it stands, as its thread tells the server's. */
import type { RefusalReason } from './answers.ts';

/** Counts are what came on top since the last report. */
export interface Report {
  readonly sent: number;
  readonly refused: Readonly<Partial<Record<RefusalReason, number>>>;
  /** Samples that were sent again. */
  readonly retried: number;
  /** Requests that were not taken and are tried again. */
  readonly failed: Readonly<Record<string, number>>;
  /** Frames that never reach the receiver. */
  readonly lost: Readonly<Record<LossReason, number>>;
  readonly lagFrames: number;
  readonly lagSeconds: number;
  /** In seconds since 1970. */
  readonly lastSuccess: number | undefined;
}

/** `expired`: retention was faster. `unreadable`: the store gave something that is no frame. */
export const lossReasons = ['expired', 'unreadable'] as const;
export type LossReason = (typeof lossReasons)[number];

export interface Tally {
  sent(samples: number, now: number): void;
  refused(reason: RefusalReason, samples: number): void;
  failed(code: string): void;
  retried(samples: number): void;
  lost(reason: LossReason, frames: number): void;
  /** The counts since the last time. */
  take(standing: Pick<Report, 'lagFrames' | 'lagSeconds'>): Report;
}

export function createTally(): Tally {
  const nothing = () => ({ sent: 0, retried: 0, lost: { expired: 0, unreadable: 0 } });
  let counts = nothing();
  let refused: Partial<Record<RefusalReason, number>> = {};
  let failed: Record<string, number> = {};
  let lastSuccess: number | undefined;
  return {
    sent(samples, now) {
      counts.sent += samples;
      lastSuccess = now / 1000;
    },
    refused(reason, samples) {
      refused[reason] = (refused[reason] ?? 0) + samples;
    },
    failed(code) {
      failed[code] = (failed[code] ?? 0) + 1;
    },
    retried(samples) {
      counts.retried += samples;
    },
    lost(reason, frames) {
      counts.lost[reason] += frames;
    },
    take(standing) {
      const report = { ...counts, ...standing, refused, failed, lastSuccess };
      counts = nothing();
      refused = {};
      failed = {};
      return report;
    },
  };
}

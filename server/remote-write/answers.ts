/** What a receiver's answer means. Pure. */

/** Why samples were refused: labels of a metric, so there are few. */
export const refusalReasons = ['out_of_order', 'out_of_bounds', 'duplicate', 'too_large', 'other'] as const;
export type RefusalReason = (typeof refusalReasons)[number];

export type Answer =
  | { readonly kind: 'taken' }
  /** The samples are what it does not take. */
  | { readonly kind: 'refused'; readonly reason: RefusalReason; readonly detail: string }
  /** It may take them later. `code` tells one kind of trouble from another. */
  | {
      readonly kind: 'later';
      readonly code: string;
      readonly detail: string;
      /** Milliseconds that it asked to wait. */
      readonly wait: number | undefined;
    };

/** Longest wait that a receiver may ask for. */
const longestWait = 60 * 60 * 1000;

/**
 * 400 (Thanos: 409, Mimir and others also 422 and 413) is about the samples. Any other 4xx is about the request as a whole (a wrong token, a
 * wrong path): that is for people to mend, and until then the samples are safe in the store, so nothing is given up.
 */
export function answerOf(status: number, retryAfter: string | null, body: string, now: number): Answer {
  if (status >= 200 && status < 300) return { kind: 'taken' };
  const text = body.trim().split('\n')[0]?.slice(0, 300) ?? '';
  const detail = `status ${status}${text === '' ? '' : `: ${text}`}`;
  // Prometheus answers 500 for a sample that is older than its out-of-order window: trying again for ever would hold all that follows.
  if ([400, 409, 413, 422].includes(status) || (status === 500 && /too old sample/i.test(body)))
    return { kind: 'refused', reason: status === 413 ? 'too_large' : reasonIn(body), detail };
  return { kind: 'later', code: `http_${status}`, detail, wait: waitOf(retryAfter, now) };
}

/** A failure before there was an answer. */
export function failureOf(error: unknown): Answer {
  const { name, message, cause } = error as Error;
  if (name === 'TimeoutError') return { kind: 'later', code: 'timeout', detail: 'no answer in time', wait: undefined };
  const reason = (cause as NodeJS.ErrnoException | undefined)?.code ?? (cause as Error | undefined)?.message ?? message;
  return { kind: 'later', code: 'network', detail: `not reached: ${reason}`, wait: undefined };
}

/** Whether a refusal for that reason holds for all samples of the same time. */
export function isByTime(reason: RefusalReason): boolean {
  return reason === 'out_of_bounds';
}

/** In the words of Prometheus, Mimir and Thanos. */
function reasonIn(body: string): RefusalReason {
  if (/out of bounds|too old|too far in (the )?(past|future)/i.test(body)) return 'out_of_bounds';
  if (/out[ -]of[ -]order/i.test(body)) return 'out_of_order';
  if (/duplicate/i.test(body)) return 'duplicate';
  return 'other';
}

/** Seconds or a date. */
function waitOf(retryAfter: string | null, now: number): number | undefined {
  if (retryAfter === null) return undefined;
  const wait = /^\d+$/.test(retryAfter.trim()) ? Number(retryAfter) * 1000 : Date.parse(retryAfter) - now;
  return Number.isFinite(wait) ? Math.min(Math.max(wait, 0), longestWait) : undefined;
}

/** Milliseconds until the next try: doubling from a quarter of a second up to a cap, with jitter, so that senders do not come all at once. */
export function retryDelay(failures: number, wait: number | undefined, most: number, random: () => number): number {
  if (wait !== undefined) return wait + 250 * random();
  return Math.min(most, 250 * 2 ** Math.min(failures - 1, 20)) * (0.5 + random() / 2);
}

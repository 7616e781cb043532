/** What HTTP says of a denial by the gate, and that it is counted. */
import type { Response } from 'express';
import { Denied } from './access/gate.ts';
import type { Health } from './health.ts';
import { HttpProblem } from './problem.ts';

export const denialTitles = { 401: 'Token needed', 403: 'Not allowed', 429: 'Too many wrong tokens' } as const;

/** Runs what may be denied. @throws HttpProblem in the place of Denied */
export function answerDenied<Result>(
  health: Pick<Health, 'refused'>,
  response: Response,
  action: () => Result,
): Result {
  try {
    return action();
  } catch (error) {
    if (!(error instanceof Denied)) throw error;
    health.refused.inc({ reason: error.reason });
    if (error.status === 401) response.set('WWW-Authenticate', 'Bearer');
    if (error.retryAfterSeconds !== undefined) response.set('Retry-After', String(error.retryAfterSeconds));
    throw new HttpProblem(error.status, denialTitles[error.status], error.message);
  }
}

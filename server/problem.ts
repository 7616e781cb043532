/** Errors of the HTTP API: `application/problem+json` (RFC 9457). */
import type { NextFunction, Request, Response } from 'express';
import { messageOf, OutlierscopeError } from '../src/errors.ts';

/** Thrown by a route to answer with that status. */
export class HttpProblem extends Error {
  readonly status: number;
  readonly title: string;

  constructor(status: number, title: string, detail: string) {
    super(detail);
    this.status = status;
    this.title = title;
  }
}

export function sendProblem(
  response: Response,
  { status, title, message }: Pick<HttpProblem, 'status' | 'title' | 'message'>,
): void {
  response
    .status(status)
    .type('application/problem+json')
    .send(JSON.stringify({ type: 'about:blank', title, status, detail: message }));
}

/** The last error handler: whatever a route throws becomes a problem document. */
export function answerErrors(error: unknown, _request: Request, response: Response, next: NextFunction): void {
  if (response.headersSent) next(error);
  else if (error instanceof HttpProblem) sendProblem(response, error);
  else if (error instanceof OutlierscopeError)
    sendProblem(response, { status: 503, title: 'Store failed', message: error.message });
  else if (isClientError(error))
    sendProblem(response, { status: error.status, title: 'Bad request', message: error.message });
  else {
    console.error('outlierscope server: unexpected fault while answering a request:', error);
    sendProblem(response, { status: 500, title: 'Unexpected fault', message: messageOf(error) });
  }
}

/** Express' own refusals, such as a path that is not well-formed. */
function isClientError(error: unknown): error is Error & { status: number } {
  if (!(error instanceof Error) || !('status' in error)) return false;
  return typeof error.status === 'number' && error.status >= 400 && error.status < 500;
}

/** Signing in and out of the page: a token becomes a cookie that scripts cannot read (docs/security.md). */
import express, { type ErrorRequestHandler, type Express, type RequestHandler } from 'express';
import { z } from 'zod';
import { sessionCookie } from './access/cookies.ts';
import type { Gate } from './access/gate.ts';
import { everyone, type Principal } from './access/tokens.ts';
import type { RouteTable } from './api/routing.ts';
import { answerDenied } from './denials.ts';
import type { Health } from './health.ts';
import { HttpProblem } from './problem.ts';

const body = z.object({ token: z.string().min(1).max(4096) });
const mostBodyBytes = 8 * 1024;

interface SessionParts {
  readonly gate: Gate;
  readonly sessionSeconds: number;
  readonly health: Pick<Health, 'refused'>;
}

/** GET: who the page is signed in as; POST `{token}`: sign in; DELETE: sign out. */
export function addSessionRoutes(
  app: Express,
  table: RouteTable,
  { gate, sessionSeconds, health }: SessionParts,
): void {
  app.use('/api/session', (_request, response, next) => {
    response.set('Cache-Control', 'no-store');
    next();
  });

  const signIn: RequestHandler = (request, response) => {
    if (!gate.required) return void response.json(view(everyone, 'unneeded'));
    const given = body.safeParse(request.body);
    if (!given.success) throw unreadable();
    const { id, session } = answerDenied(health, response, () => gate.signIn(request, given.data.token));
    response.append('Set-Cookie', sessionCookie(request, id, sessionSeconds));
    response.json(view(session, 'signed in', session.expiresAt));
  };

  table.add('/api/session', {
    get(request, response) {
      if (!gate.required) return void response.json(view(everyone, 'unneeded'));
      const session = gate.sessionOf(request);
      if (session !== undefined) return void response.json(view(session, 'signed in', session.expiresAt));
      const who = answerDenied(health, response, () => gate.admit(request, 'read'));
      response.json(view(who, 'token'));
    },
    post: [express.json({ limit: mostBodyBytes, type: 'application/json' }), signIn],
    delete(request, response) {
      gate.signOut(request);
      response.append('Set-Cookie', sessionCookie(request, undefined, 0));
      response.status(204).end();
    },
  });

  app.use('/api/session', ((error: { status?: unknown }, _request, _response, next) => {
    if (error.status === 413) {
      health.refused.inc({ reason: 'body_size' });
      next(new HttpProblem(413, 'Body too large', `at most ${mostBodyBytes} bytes`));
    } else if (error instanceof HttpProblem) next(error);
    // The parser's own words quote the body, which may hold a token.
    else next(typeof error.status === 'number' && error.status < 500 ? unreadable() : error);
  }) satisfies ErrorRequestHandler);
}

function unreadable(): HttpProblem {
  return new HttpProblem(
    400,
    'Bad request',
    'the body must be JSON, {"token": "…"}, with Content-Type: application/json',
  );
}

function view(who: Principal, state: 'unneeded' | 'signed in' | 'token', expiresAt: number | null = null): object {
  return { state, name: who.name, scopes: who.scopes, expiresAt };
}

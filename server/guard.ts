/** What every HTTP request passes before a route sees it: headers, the host name, the rate, where the page is from, who asks. */
import type { NextFunction, Request, RequestHandler, Response } from 'express';
import { limitKey } from './access/addresses.ts';
import type { Gate } from './access/gate.ts';
import { type AccessRules, crossSiteRefusal, hostRefusal, requestFault } from './access/hosts.ts';
import { createRateTable } from './access/rate.ts';
import type { Admission } from './admission.ts';
import { answerDenied } from './denials.ts';
import type { Health } from './health.ts';
import { HttpProblem } from './problem.ts';

export interface GuardParts {
  readonly gate: Gate;
  readonly access: AccessRules;
  readonly admission: Pick<Admission, 'refusal'>;
  readonly requestsPerSecond: number;
  readonly health: Pick<Health, 'refused'>;
}

const headers = {
  'Content-Security-Policy':
    "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src 'self' data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
  'Cross-Origin-Opener-Policy': 'same-origin',
  // Other sites may not even embed what they cannot read.
  'Cross-Origin-Resource-Policy': 'same-origin',
  'X-Content-Type-Options': 'nosniff',
  'Referrer-Policy': 'no-referrer',
  'Cache-Control': 'no-cache',
};

/** Methods that change nothing. */
const safeMethods: ReadonlySet<string> = new Set(['GET', 'HEAD', 'OPTIONS']);

/** For every request. */
export function protect({ gate, access, admission, requestsPerSecond, health }: GuardParts): RequestHandler {
  const rates = createRateTable({ perSecond: requestsPerSecond, burst: 2 * requestsPerSecond });
  return (request, response, next) => {
    response.set(headers);
    const crowd = admission.refusal(request.socket);
    if (crowd !== undefined) {
      health.refused.inc({ reason: crowd });
      response.set({ Connection: 'close', 'Retry-After': '10' });
      throw new HttpProblem(503, 'Too many connections', crowdText[crowd]);
    }
    const key = limitKey(gate.addressOf(request));
    const wait = rates.wait(key);
    if (wait > 0) {
      health.refused.inc({ reason: 'request_rate' });
      response.set('Retry-After', String(Math.ceil(wait / 1000)));
      throw new HttpProblem(429, 'Too many requests', `more than ${requestsPerSecond} a second from this address`);
    }
    rates.take(key);
    const fault = requestFault(request);
    if (fault !== undefined) {
      health.refused.inc({ reason: 'bad_request' });
      throw new HttpProblem(400, 'Bad request', fault);
    }
    const foreignHost = hostRefusal(request, access);
    if (foreignHost !== undefined) {
      health.refused.inc({ reason: 'host' });
      throw new HttpProblem(403, 'Host refused', foreignHost);
    }
    if (!safeMethods.has(request.method)) {
      const foreignPage = crossSiteRefusal(request, access);
      if (foreignPage !== undefined) {
        health.refused.inc({ reason: 'origin' });
        throw new HttpProblem(403, 'Origin refused', foreignPage);
      }
    }
    next();
  };
}

export const crowdText = {
  connections: 'the server has as many connections as it takes (limit connections): try again later',
  connections_per_address:
    'this address has as many connections as it may have (limit connectionsPerAddress): try again later',
} as const;

/** For what needs a token: reading takes the scope read, anything else admin. */
export function requireToken(gate: Gate, health: Pick<Health, 'refused'>): RequestHandler {
  return (request: Request, response: Response, next: NextFunction) => {
    response.set('Cache-Control', 'no-store');
    answerDenied(health, response, () => gate.admit(request, safeMethods.has(request.method) ? 'read' : 'admin'));
    next();
  };
}

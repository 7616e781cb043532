/** The gate: who sends a request or a hello, and whether they may. Cookies of the page, bearer tokens, tokens of trainers. */
import type { IncomingMessage } from 'node:http';
import type { RefusalReason } from '../refusals.ts';
import { clientOf, limitKey } from './addresses.ts';
import { sessionIdOf } from './cookies.ts';
import { createRateTable } from './rate.ts';
import { createSessions, type Session, type SessionLimits } from './sessions.ts';
import { type AccessToken, createKeyring, everyone, may, type Principal, type Scope } from './tokens.ts';

/** Thrown for whoever is not let in. */
export class Denied extends Error {
  /** 401: show a token; 403: another token; 429: not now. */
  readonly status: 401 | 403 | 429;
  readonly reason: RefusalReason;
  readonly retryAfterSeconds: number | undefined;

  constructor(status: 401 | 403 | 429, reason: RefusalReason, detail: string, retryAfterSeconds?: number) {
    super(detail);
    this.status = status;
    this.reason = reason;
    this.retryAfterSeconds = retryAfterSeconds;
  }
}

export interface Gate {
  /** Whether tokens are asked for at all. */
  readonly required: boolean;
  /** Where a request came from. */
  addressOf(request: IncomingMessage): string;
  /** Who sends the request. @throws Denied */
  admit(request: IncomingMessage, scope: Scope): Principal;
  /** Whose token it is. @throws Denied */
  check(token: string | undefined, scope: Scope, address: string): Principal;
  /** The session that a request shows. */
  sessionOf(request: IncomingMessage): Session | undefined;
  /** Opens a session; one that the request shows ends. @throws Denied */
  signIn(request: IncomingMessage, token: string): { readonly id: string; readonly session: Session };
  signOut(request: IncomingMessage): void;
  replaceTokens(tokens: readonly AccessToken[]): void;
  close(): void;
}

export interface GateParts {
  readonly tokens: readonly AccessToken[];
  readonly limits: SessionLimits & { readonly failedSignInsPerMinute: number };
  readonly isTrustedProxy: (address: string) => boolean;
}

export function createGate({ tokens, limits, isTrustedProxy }: GateParts): Gate {
  const keyring = createKeyring(tokens);
  const sessions = createSessions(limits);
  const { failedSignInsPerMinute: often } = limits;
  /** Wrong tokens by address. Right ones cost nothing, so scrapers may come as often as they like. */
  const failures = createRateTable({ perSecond: often / 60, burst: often });

  const addressOf = (request: IncomingMessage): string => clientOf(request, isTrustedProxy);

  function identify(token: string, address: string): Principal {
    const key = limitKey(address);
    // Whoever has to wait is not told whether this token would have been right: that would be another guess.
    const wait = failures.wait(key);
    if (wait > 0) {
      const seconds = Math.ceil(wait / 1000);
      const detail = `too many wrong tokens from this address: try again in ${seconds} s`;
      throw new Denied(429, 'sign_in_rate', detail, seconds);
    }
    const principal = keyring.find(token);
    if (principal !== undefined) return principal;
    failures.take(key);
    throw new Denied(401, 'token_wrong', 'the token is not one of this server: it may have been replaced');
  }

  function allow<Who extends Principal>(who: Who, scope: Scope): Who {
    if (may(who, scope)) return who;
    const granted = who.scopes.join(', ');
    throw new Denied(
      403,
      'token_scope',
      `the token ${JSON.stringify(who.name)} has the scope ${granted}, not ${scope}`,
    );
  }

  function sessionOf(request: IncomingMessage): Session | undefined {
    const id = sessionIdOf(request);
    return id === undefined ? undefined : sessions.find(id);
  }

  function check(token: string | undefined, scope: Scope, address: string): Principal {
    if (!keyring.required) return everyone;
    if (token === undefined || token === '') throw new Denied(401, 'token_missing', missing[scope]);
    return allow(identify(token, address), scope);
  }

  return {
    get required() {
      return keyring.required;
    },
    addressOf,
    admit(request, scope) {
      if (!keyring.required) return everyone;
      const { authorization } = request.headers;
      if (authorization === undefined) {
        const session = sessionOf(request);
        if (session !== undefined) return allow(session, scope);
      }
      return check(bearerOf(authorization), scope, addressOf(request));
    },
    check,
    sessionOf,
    signIn(request, token) {
      const principal = allow(identify(token, addressOf(request)), 'read');
      const earlier = sessionIdOf(request);
      if (earlier !== undefined) sessions.end(earlier);
      return sessions.open(principal);
    },
    signOut(request) {
      const id = sessionIdOf(request);
      if (id !== undefined) sessions.end(id);
    },
    replaceTokens: keyring.replace,
    close: sessions.close,
  };
}

const header = 'send the header "Authorization: Bearer TOKEN" with a token of this server';
const missing: Readonly<Record<Scope, string>> = {
  ingest: 'this server asks for a token: set OUTLIERSCOPE_TOKEN or the option token',
  read: `${header} that has the scope read, or sign in on the page`,
  admin: `${header} that has the scope admin`,
};

/** The token in an Authorization header; undefined for another scheme. */
function bearerOf(authorization: string | undefined): string | undefined {
  return /^Bearer +([\x21-\x7e]{1,4096}) *$/i.exec(authorization ?? '')?.[1];
}

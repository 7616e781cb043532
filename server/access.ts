/** Who may talk to the server: the token, the origin of browser pages, and the host name that the server is called by. */
import { createHash, timingSafeEqual } from 'node:crypto';
import type { IncomingMessage } from 'node:http';

/** Whether a host name or address is this machine's own loopback. */
export function isLoopback(host: string): boolean {
  const name = host.toLowerCase().replace(/^\[(.*)\]$/, '$1');
  return name === 'localhost' || name.endsWith('.localhost') || name === '::1' || /^127(\.\d{1,3}){3}$/.test(name);
}

/** Whether a token was shown that matches the expected one, in a time that does not tell how much of it matched. */
export function tokenMatches(expected: string | undefined, given: string | undefined): boolean {
  if (expected === undefined) return true;
  if (given === undefined) return false;
  const digest = (text: string): Buffer => createHash('sha256').update(text).digest();
  return timingSafeEqual(digest(expected), digest(given));
}

/** The token of a request: `Authorization: Bearer`, or `?token=` for websockets of browsers, which cannot set headers. */
export function tokenOf(request: IncomingMessage): string | undefined {
  const bearer = /^Bearer +(\S+)$/i.exec(request.headers.authorization ?? '')?.[1];
  return bearer ?? urlOf(request)?.searchParams.get('token') ?? undefined;
}

/** A request's path and query; undefined for a target that is no path. */
export function urlOf(request: IncomingMessage): URL | undefined {
  const target = request.url ?? '';
  return target.startsWith('/') && URL.canParse(`http://host${target}`) ? new URL(`http://host${target}`) : undefined;
}

export interface AccessRules {
  /** The address that the server listens on. */
  readonly host: string;
  readonly allowedOrigins: readonly string[];
}

/**
 * Why a request's Host header is refused, or undefined. A server on loopback answers to loopback names only, so that a web page
 * that points its own name at 127.0.0.1 (DNS rebinding) reads nothing.
 */
export function hostRefusal(request: IncomingMessage, { host, allowedOrigins }: AccessRules): string | undefined {
  if (!isLoopback(host)) return undefined;
  const called = hostnameOf(`http://${request.headers.host ?? ''}`);
  if (called !== undefined && (isLoopback(called) || allowedOrigins.some((origin) => hostnameOf(origin) === called)))
    return undefined;
  return `the Host header ${JSON.stringify(request.headers.host ?? '')} is no loopback name; allow its origin if it is yours`;
}

/** Why a websocket's Origin header is refused, or undefined. Only browsers send one; they let any page connect anywhere. */
export function originRefusal(request: IncomingMessage, { allowedOrigins }: AccessRules): string | undefined {
  const { origin, host } = request.headers;
  if (origin === undefined || allowedOrigins.includes(origin)) return undefined;
  if (URL.canParse(origin) && new URL(origin).host === host?.toLowerCase()) return undefined;
  return `the Origin ${JSON.stringify(origin)} is not this server's; allow it if it is yours`;
}

function hostnameOf(url: string): string | undefined {
  return URL.canParse(url) ? new URL(url).hostname : undefined;
}

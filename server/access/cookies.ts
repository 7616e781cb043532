/** The cookie that holds the id of a session. */
import type { IncomingMessage } from 'node:http';
import { isEncrypted } from './hosts.ts';

/**
 * Cookies are shared by all ports of a host, so the name has the port: two servers on one machine do not sign each other's readers
 * out. With `__Host-` the browser lets no other host and no page without TLS set the cookie.
 */
function nameOf(request: IncomingMessage, secure: boolean): string {
  return `${secure ? '__Host-' : ''}outlierscope-${request.socket.localPort ?? 0}`;
}

/** The session id that a request shows; undefined for none, or for what cannot be one. */
export function sessionIdOf(request: IncomingMessage): string | undefined {
  const cookies = new Map<string, string>();
  for (const part of (request.headers.cookie ?? '').split(';')) {
    const [name = '', value = ''] = part.trim().split('=', 2);
    if (!cookies.has(name)) cookies.set(name, value);
  }
  // Without TLS here there may be TLS at a proxy.
  const names = isEncrypted(request) ? [nameOf(request, true)] : [nameOf(request, true), nameOf(request, false)];
  const value = names.map((name) => cookies.get(name)).find((found) => found !== undefined);
  return value !== undefined && /^[A-Za-z0-9_-]{43}$/.test(value) ? value : undefined;
}

/** The Set-Cookie that hands out a session id, or, without one, takes it away. The page signs in by a POST that names its origin. */
export function sessionCookie(request: IncomingMessage, id: string | undefined, seconds: number): string {
  const secure = isEncrypted(request) || request.headers.origin?.startsWith('https://') === true;
  const life = id === undefined ? 0 : seconds;
  return `${nameOf(request, secure)}=${id ?? ''}; Path=/; Max-Age=${life}; HttpOnly; SameSite=Strict${secure ? '; Secure' : ''}`;
}

/**
 * Which host names and origins the server answers to. A browser lets any page send requests anywhere; what such a request cannot
 * choose are its Host and Origin headers, so they tell the server's own page from a foreign one.
 */
import type { IncomingMessage } from 'node:http';
import { isIP } from 'node:net';
import { hostname } from 'node:os';

/** Whether a host name or address is this machine's own loopback. */
export function isLoopback(host: string): boolean {
  const name = host.toLowerCase().replace(/^\[(.*)\]$/, '$1');
  return name === 'localhost' || name.endsWith('.localhost') || name === '::1' || /^127(\.\d{1,3}){3}$/.test(name);
}

/** A request's path and query; undefined for a target that is no path, such as `http://other.example/metrics` or `*`. */
export function urlOf(request: IncomingMessage): URL | undefined {
  const target = request.url ?? '';
  return target.startsWith('/') && URL.canParse(`http://host${target}`) ? new URL(`http://host${target}`) : undefined;
}

/** What is wrong with a request that no honest client sends, and that a proxy could read otherwise than this server; or undefined. */
export function requestFault(request: IncomingMessage): string | undefined {
  if (urlOf(request) === undefined) return 'the target of a request here is a path';
  const hosts = request.rawHeaders.filter((each, index) => index % 2 === 0 && each.toLowerCase() === 'host');
  return hosts.length > 1 ? 'a request has one Host header' : undefined;
}

export interface AccessRules {
  /** The address that the server listens on. */
  readonly host: string;
  readonly allowedOrigins: readonly string[];
  /** Nobody is asked for a token, so the host name is all that keeps foreign pages out. */
  readonly open: boolean;
}

/**
 * Why a request's Host header is refused, or undefined. DNS rebinding: a web page points its own name at the server's address, and the
 * browser then takes the server for that page's own. It needs a name that the attacker owns, so
 * - a server on loopback answers to loopback names alone;
 * - one beyond that asks for no token answers to addresses, loopback names, names without a dot and this machine's own;
 * - one that asks for tokens answers to any name: a foreign page has neither a token nor this server's cookie.
 * The hosts of allowed origins are always right.
 */
export function hostRefusal(request: IncomingMessage, { host, allowedOrigins, open }: AccessRules): string | undefined {
  const onLoopback = isLoopback(host);
  if (!onLoopback && !open) return undefined;
  const header = request.headers.host ?? '';
  const name = nameIn(header);
  const quoted = JSON.stringify(header.slice(0, 80));
  if (name !== undefined) {
    if (isLoopback(name) || allowedOrigins.some((origin) => new URL(origin).hostname === name)) return undefined;
    if (!onLoopback && isOwnName(name)) return undefined;
  }
  const expected = onLoopback ? 'no loopback name' : 'neither an address nor a name of this machine';
  return `the Host header ${quoted} is ${expected}; allow its origin if it is yours`;
}

/** Why a request's Origin header is refused, or undefined. Only browsers send one. */
export function originRefusal(request: IncomingMessage, { allowedOrigins }: AccessRules): string | undefined {
  const { origin, host = '' } = request.headers;
  if (origin === undefined || allowedOrigins.includes(origin)) return undefined;
  if (isOwnOrigin(origin, host, isEncrypted(request))) return undefined;
  return `the Origin ${JSON.stringify(origin.slice(0, 80))} is not this server's; allow it if it is yours`;
}

/**
 * Why a request that changes something is refused, or undefined: it must come from this server's own page, or from no page at all.
 * Every browser names the origin of such requests.
 */
export function crossSiteRefusal(request: IncomingMessage, rules: AccessRules): string | undefined {
  const site = request.headers['sec-fetch-site'];
  const allowed = rules.allowedOrigins.includes(request.headers.origin ?? '');
  if (site !== undefined && site !== 'same-origin' && site !== 'none' && !allowed)
    return `a page of another site (Sec-Fetch-Site: ${JSON.stringify(String(site).slice(0, 20))}) may change nothing here`;
  return originRefusal(request, rules);
}

/** Whether the request came by TLS to this very server. */
export function isEncrypted({ socket }: IncomingMessage): boolean {
  return 'encrypted' in socket && socket.encrypted === true;
}

/** Behind a proxy that ends TLS the page is https while the request is not; a server with TLS of its own has no http page. */
function isOwnOrigin(origin: string, host: string, encrypted: boolean): boolean {
  if (!URL.canParse(origin) || nameIn(host) === undefined) return false;
  const { protocol, host: called } = new URL(origin);
  if (protocol !== 'https:' && (protocol !== 'http:' || encrypted)) return false;
  return called === new URL(`${protocol}//${host}`).host;
}

/** The host name in a Host header, without the port; undefined for what is none. `a@b`, `a/b` and the like are URLs' parts, not names. */
function nameIn(header: string): string | undefined {
  if (!/^(\[[0-9a-f:.]+\]|[a-z0-9._-]+)(:\d{1,5})?$/i.test(header)) return undefined;
  return URL.canParse(`http://${header}`) ? new URL(`http://${header}`).hostname : undefined;
}

function isOwnName(name: string): boolean {
  const bare = name.replace(/^\[(.*)\]$/, '$1');
  return isIP(bare) !== 0 || !name.includes('.') || name === hostname().toLowerCase();
}

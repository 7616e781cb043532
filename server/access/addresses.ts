/** Whose request it is, as far as limits go: the peer's address, or the one that a trusted proxy reports. */
import type { IncomingMessage } from 'node:http';
import { BlockList, isIP } from 'node:net';

/** Matches addresses against the list of proxies: addresses, or networks such as `10.0.0.0/8`. */
export function createProxyList(proxies: readonly string[]): (address: string) => boolean {
  const list = new BlockList();
  for (const proxy of proxies) {
    const [address = '', prefix] = proxy.split('/');
    const family = isIP(address) === 6 ? 'ipv6' : 'ipv4';
    if (prefix === undefined) list.addAddress(address, family);
    else list.addSubnet(address, Number(prefix), family);
  }
  return (address) => isIP(address) !== 0 && list.check(address, isIP(address) === 6 ? 'ipv6' : 'ipv4');
}

/** Whether a text is an address or a network that `createProxyList` takes. */
export function isProxy(text: string): boolean {
  const [, address = '', prefix] = /^([^/]+)(?:\/(\d{1,3}))?$/.exec(text) ?? [];
  const family = isIP(address);
  return family !== 0 && !address.includes('%') && Number(prefix ?? 0) <= (family === 4 ? 32 : 128);
}

/**
 * The address of a request's sender. `X-Forwarded-For` is believed only as far as trusted proxies wrote it: from its end up to the
 * first address that is not theirs. What stands before it is whatever the sender liked to write.
 */
export function clientOf(request: IncomingMessage, isTrusted: (address: string) => boolean): string {
  let client = plain(request.socket.remoteAddress ?? '');
  const reported = String(request.headers['x-forwarded-for'] ?? '').split(',');
  while (isTrusted(client)) {
    const next = plain(reported.pop()?.trim() ?? '');
    if (isIP(next) === 0) break;
    client = next;
  }
  return client;
}

/** What limits count by: an IPv4 address, or the first 64 bits of an IPv6 address, as whoever has one of those has all of them. */
export function limitKey(address: string): string {
  const name = plain(address);
  if (isIP(name) !== 6) return name;
  const [head = '', tail] = new URL(`http://[${name}]`).hostname.slice(1, -1).split('::');
  const front = head === '' ? [] : head.split(':');
  const back = tail === undefined || tail === '' ? [] : tail.split(':');
  const zeros = tail === undefined ? 0 : 8 - front.length - back.length;
  return `${[...front, ...Array<string>(zeros).fill('0'), ...back].slice(0, 4).join(':')}::/64`;
}

/** Without an IPv6 zone, and IPv4 as itself where a socket for both families shows it as IPv6. */
function plain(address: string): string {
  return address.replace(/%.*$/, '').replace(/^::ffff:(\d+\.\d+\.\d+\.\d+)$/i, '$1');
}

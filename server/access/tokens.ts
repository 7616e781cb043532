/** Access tokens: who may do what. In memory they are digests, compared in constant time. */
import { createHash, timingSafeEqual } from 'node:crypto';
import { setMaxListeners } from 'node:events';

/**
 * What a token allows:
 * - `ingest`: start and go on with runs, as a trainer (`/v1/ingest`);
 * - `read`: `/metrics`, reading `/api`, watching (`/v1/live`), signing in to the page;
 * - `admin`: what `read` allows, and whatever changes something by way of `/api`.
 */
export const scopes = ['ingest', 'read', 'admin'] as const;
export type Scope = (typeof scopes)[number];

export interface AccessToken {
  /** For people: it is shown to whoever signed in with the token. */
  readonly name: string;
  /** The secret. */
  readonly token: string;
  readonly scopes: readonly Scope[];
}

/** Somebody who was let in. */
export interface Principal {
  readonly name: string;
  readonly scopes: readonly Scope[];
  /** Aborted when that is over: the token was withdrawn, the session ended. Whoever holds a connection closes it then. */
  readonly ended: AbortSignal;
}

export function may({ scopes: granted }: Pick<Principal, 'scopes'>, scope: Scope): boolean {
  return granted.includes(scope) || (scope === 'read' && granted.includes('admin'));
}

/** A signal that any number of connections may listen to. */
export function createEnd(): AbortController {
  const end = new AbortController();
  setMaxListeners(0, end.signal);
  return end;
}

/** Everyone, where no token is asked for. */
export const everyone: Principal = { name: 'everyone', scopes, ended: createEnd().signal };

export interface Keyring {
  /** Whether there is any token: else everyone may do everything. */
  readonly required: boolean;
  /** Whose token it is; the time that takes tells neither how much of it matched nor which one. */
  find(token: string): Principal | undefined;
  /** Puts other tokens in the place of these. Whoever came with one that is no more, or allows other things now, is out. */
  replace(tokens: readonly AccessToken[]): void;
}

interface Key {
  readonly digest: Buffer;
  readonly principal: Principal;
  readonly end: AbortController;
}

export function createKeyring(tokens: readonly AccessToken[]): Keyring {
  let keys = tokens.map(toKey);
  return {
    get required() {
      return keys.length > 0;
    },
    find(token) {
      const digest = digestOf(token);
      let found: Principal | undefined;
      for (const key of keys) if (timingSafeEqual(key.digest, digest)) found = key.principal;
      return found;
    },
    replace(next) {
      const before = keys;
      keys = next.map((token) => {
        const key = toKey(token);
        return before.find((each) => isSame(each, key)) ?? key;
      });
      for (const key of before) if (!keys.includes(key)) key.end.abort();
    },
  };
}

function toKey({ name, token, scopes: granted }: AccessToken): Key {
  const end = createEnd();
  return { digest: digestOf(token), principal: { name, scopes: [...granted], ended: end.signal }, end };
}

function isSame(one: Key, other: Key): boolean {
  const { name, scopes: granted } = other.principal;
  const sameScopes = scopes.every((scope) => granted.includes(scope) === one.principal.scopes.includes(scope));
  return one.digest.equals(other.digest) && one.principal.name === name && sameScopes;
}

function digestOf(token: string): Buffer {
  return createHash('sha256').update(token).digest();
}

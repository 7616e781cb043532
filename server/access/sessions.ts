/** Sessions of the page: who signed in with a token has a random id in a cookie. Kept in memory only, so a restart signs everyone out. */
import { createHash, randomBytes } from 'node:crypto';
import { createEnd, type Principal } from './tokens.ts';

export interface Session extends Principal {
  /** Milliseconds since 1970. */
  readonly expiresAt: number;
}

export interface SessionLimits {
  /** How many there may be, of all tokens together. */
  readonly sessions: number;
  readonly sessionSeconds: number;
}

export interface Sessions {
  /** A new session, with an id of its own that nobody else knows. */
  open(principal: Principal): { readonly id: string; readonly session: Session };
  find(id: string): Session | undefined;
  /** Ends the session; its connections are closed. */
  end(id: string): void;
  /** Ends all of them. */
  close(): void;
}

interface Entry {
  readonly session: Session;
  readonly principal: Principal;
  stop(): void;
}

export function createSessions({ sessions: most, sessionSeconds }: SessionLimits): Sessions {
  /** By the digest of the id, oldest first: how long a look-up takes tells nothing of the ids that there are. */
  const entries = new Map<string, Entry>();

  function drop(key: string): void {
    const entry = entries.get(key);
    entries.delete(key);
    entry?.stop();
  }

  /** One who signs in again and again pushes out own sessions, not those of others. */
  function makeRoom({ name }: Principal): void {
    if (entries.size < most) return;
    const keys = [...entries.keys()];
    const oldest = keys.find((key) => entries.get(key)?.principal.name === name) ?? keys[0];
    if (oldest !== undefined) drop(oldest);
  }

  return {
    open(principal) {
      makeRoom(principal);
      const id = randomBytes(32).toString('base64url');
      const key = keyOf(id);
      const end = createEnd();
      const withdrawn = (): void => drop(key);
      const timer = setTimeout(() => drop(key), sessionSeconds * 1000);
      timer.unref();
      principal.ended.addEventListener('abort', withdrawn);
      const session: Session = {
        name: principal.name,
        scopes: principal.scopes,
        ended: end.signal,
        expiresAt: Date.now() + sessionSeconds * 1000,
      };
      entries.set(key, {
        session,
        principal,
        stop() {
          clearTimeout(timer);
          principal.ended.removeEventListener('abort', withdrawn);
          end.abort();
        },
      });
      return { id, session };
    },
    find: (id) => entries.get(keyOf(id))?.session,
    end: (id) => drop(keyOf(id)),
    close() {
      for (const key of [...entries.keys()]) drop(key);
    },
  };
}

function keyOf(id: string): string {
  return createHash('sha256').update(id).digest('base64url');
}

/** Writes cursors down, one call at a time: what comes to be known meanwhile goes into the next one. */
import type { Cursor } from './cursor.ts';

export interface Saver {
  save(cursor: Cursor): void;
  /** Resolves when all that was given is written; rejects when it is not. */
  settled(): Promise<void>;
}

/** `troubled` is told of each failure; what was not written is tried again with the next cursor. */
export function createSaver(write: (cursors: Cursor[]) => Promise<void>, troubled: (error: unknown) => void): Saver {
  let waiting = new Map<string, Cursor>();
  let running: Promise<void> | undefined;
  let failure: unknown;

  async function run(): Promise<void> {
    while (waiting.size > 0) {
      const cursors = waiting;
      waiting = new Map();
      try {
        await write([...cursors.values()]);
        failure = undefined;
      } catch (error) {
        waiting = new Map([...cursors, ...waiting]);
        failure = error ?? new Error('unknown');
        troubled(error);
        break;
      }
    }
    running = undefined;
  }

  return {
    save(cursor) {
      waiting.set(cursor.runId, cursor);
      running ??= run();
    },
    async settled() {
      if (waiting.size > 0) running ??= run();
      while (running !== undefined) await running;
      if (failure !== undefined) throw failure;
    },
  };
}

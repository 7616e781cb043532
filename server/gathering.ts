/**
 * When the next transaction begins. Each costs a sync of the disk and two messages between threads, whatever is in it, so those of
 * frames that arrive one by one are kept a little apart: a thousand trainers then share a hundred transactions a second.
 */
export interface Gathering {
  /** Resolves when the next transaction is to begin: after one turn of the event loop, or later. */
  turn(): Promise<void>;
  /** The next one is worth its cost, or somebody waits for it. */
  hurry(): void;
}

/** Turns begin at least so far apart, unless they are hurried; the first after a rest at once. */
export function createGathering(apartMilliseconds: number): Gathering {
  let began = Number.NEGATIVE_INFINITY;
  let hurried = false;
  let go: (() => void) | undefined;

  function rest(milliseconds: number): Promise<void> {
    return new Promise((resolve) => {
      const timer = setTimeout(resolve, milliseconds);
      go = () => {
        clearTimeout(timer);
        resolve();
      };
    });
  }

  return {
    async turn() {
      const wait = began + apartMilliseconds - performance.now();
      if (wait > 0 && !hurried) await rest(wait);
      go = undefined;
      // One turn of the event loop lets every connection that has something to say join.
      await new Promise((resolve) => setImmediate(resolve));
      began = performance.now();
      hurried = false;
    },
    hurry() {
      hurried = true;
      go?.();
    },
  };
}

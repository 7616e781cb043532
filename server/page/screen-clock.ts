/** Time as this page's screen has it. */
import type { Clock } from './pace.ts';

export const screenClock: Clock = {
  now: () => performance.now(),
  after: (milliseconds, callback) => void setTimeout(callback, milliseconds),
  painted(callback) {
    let isDone = false;
    const once = (): void => {
      if (!isDone) callback();
      isDone = true;
    };
    requestAnimationFrame(() => requestAnimationFrame(once));
    setTimeout(once, 1_000); // nothing is painted while the page is hidden
  },
};

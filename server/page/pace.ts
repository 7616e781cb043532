/** Keeps live drawing from taking a slow machine over: the dearer a picture is, the rarer it is drawn. Pure. */

export interface Clock {
  now(): number;
  after(milliseconds: number, callback: () => void): void;
  /** Calls back once what was changed just now is on the screen. */
  painted(callback: () => void): void;
}

/** Two screen frames pass before a painting is known of, however cheap it was. */
const freeMs = 50;
/** After a costly run, this many times its cost is left to everything else. */
const rest = 3;

/** A function that runs `work` at once or, while an earlier run is being painted or rested from, once after that. */
export function pace(work: () => void, clock: Clock): () => void {
  let isBusy = false;
  let isWanted = false;

  function run(): void {
    isBusy = true;
    isWanted = false;
    const started = clock.now();
    work();
    clock.painted(() => clock.after(rest * Math.max(0, clock.now() - started - freeMs), finish));
  }

  function finish(): void {
    isBusy = false;
    if (isWanted) run();
  }

  return () => {
    isWanted = true;
    if (!isBusy) run();
  };
}

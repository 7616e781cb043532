/** How long the event loop was held at once while something ran, by a timer of a millisecond. */

export interface Timed<Value> {
  readonly value: Value;
  readonly milliseconds: number;
  /** The longest delay of the timer. */
  readonly stall: number;
}

export async function timed<Value>(action: () => Promise<Value>): Promise<Timed<Value>> {
  let last = performance.now();
  let stall = 0;
  const tick = (): void => {
    const now = performance.now();
    stall = Math.max(stall, now - last - 1);
    last = now;
  };
  const timer = setInterval(tick, 1);
  await new Promise((resolve) => setTimeout(resolve, 5)); // the timer is under way
  stall = 0;
  last = performance.now();
  const began = last;
  const value = await action();
  const milliseconds = performance.now() - began;
  await new Promise((resolve) => setTimeout(resolve, 2)); // one that is late still counts
  tick();
  clearInterval(timer);
  return { value, milliseconds, stall };
}

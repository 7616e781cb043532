/** What a piece of work costs: time, and processor time. */

export interface Cost {
  readonly milliseconds: number;
  /** Of all threads of the process: unlike time, it hardly depends on what else the machine does. */
  readonly processorMilliseconds: number;
}

/** Begins to measure; the function returned gives the cost since. */
export function startClocks(): () => Cost {
  const processor = process.cpuUsage();
  const began = performance.now();
  return () => {
    const milliseconds = performance.now() - began;
    const { user, system } = process.cpuUsage(processor);
    return { milliseconds, processorMilliseconds: (user + system) / 1000 };
  };
}

export function addCosts(one: Cost, other: Cost): Cost {
  return {
    milliseconds: one.milliseconds + other.milliseconds,
    processorMilliseconds: one.processorMilliseconds + other.processorMilliseconds,
  };
}

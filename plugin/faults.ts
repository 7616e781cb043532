/** What goes wrong inside the monitor: counted, told once each, and kept away from training. */
import { messageOf } from '../src/errors.ts';

export class Faults {
  count = 0;
  private readonly told = new Set<string>();
  private readonly warn: (message: string) => void;

  constructor(warn: (message: string) => void) {
    this.warn = warn;
  }

  /** Counts a fault and tells each kind once. */
  add(where: string, error: unknown): void {
    this.count += 1;
    if (this.told.has(where)) return;
    this.told.add(where);
    try {
      this.warn(`${where}: ${messageOf(error)} (told once; training goes on)`);
    } catch (thrown) {
      console.warn(`outlierscope: the option warn threw: ${messageOf(thrown)}`);
    }
  }

  /** What the work gives; undefined, a fault, and what is to be done `otherwise` where it throws. */
  guard<Result>(where: string, work: () => Result, otherwise?: () => void): Result | undefined {
    try {
      return work();
    } catch (error) {
      otherwise?.();
      this.add(where, error);
      return undefined;
    }
  }
}

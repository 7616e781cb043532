/** Faults of the disk: counted, and told once, since a full disk stays full for every frame. */
import { messageOf } from '../../src/errors.ts';

export class Disk {
  faults = 0;
  private readonly warn: (text: string) => void;
  private readonly told = new Set<string>();

  constructor(warn: (text: string) => void) {
    this.warn = warn;
  }

  /** Runs `action`; undefined when it fails. `consequence` says what that means for the user. */
  attempt<Result>(what: string, consequence: string, action: () => Result): Result | undefined {
    try {
      return action();
    } catch (error) {
      this.fault(what, consequence, error);
      return undefined;
    }
  }

  fault(what: string, consequence: string, error: unknown): void {
    this.faults += 1;
    if (this.told.has(what)) return;
    this.told.add(what);
    this.warn(`${what} failed: ${messageOf(error)}; ${consequence}`);
  }
}

/** Which steps are sampled. Pure: steps in, decisions out. */

export interface SamplingSettings {
  /** A sampled step comes every so many steps. */
  readonly every: number;
  /** The first so many steps are all sampled. */
  readonly warmUpSteps: number;
  /** Bounds of the distance between sampled steps where it adapts; undefined where it does not. */
  readonly adaptive: { readonly shortest: number; readonly longest: number } | undefined;
}

/** A metric that moved by this factor's logarithm or more since the last sampled step is worth a closer look. */
const fastMovement = Math.log(1.1);
const slowMovement = Math.log(1.02);

export class Sampler {
  private readonly settings: SamplingSettings;
  private readonly firstStep: number;
  private interval: number;
  private next: number;

  constructor(settings: SamplingSettings, firstStep: number) {
    this.settings = settings;
    this.firstStep = firstStep;
    this.interval = settings.every;
    this.next = firstStep;
  }

  isDue(step: number): boolean {
    return step >= this.next || step - this.firstStep < this.settings.warmUpSteps;
  }

  /** A step was sampled. `movement`: largest change since the last sampled step, as |ln(now / before)|; NaN for unknown. */
  sampled(step: number, movement: number): void {
    const { every, adaptive } = this.settings;
    if (adaptive === undefined) {
      // Multiples of `every` whatever came between, so that runs can be compared step by step.
      this.next = this.firstStep + (Math.floor((step - this.firstStep) / every) + 1) * every;
      return;
    }
    if (movement >= fastMovement) this.interval = Math.max(adaptive.shortest, Math.floor(this.interval / 2));
    else if (movement < slowMovement) this.interval = Math.min(adaptive.longest, this.interval * 2);
    this.next = step + this.interval;
  }

  /** Something happened that should be looked at: the next step is sampled. */
  hurry(step: number): void {
    this.next = Math.min(this.next, step);
  }
}

/** Largest |ln(now / before)| of a metric over the sites of two sampled steps; NaN without a site in both. */
export function movementBetween(before: ReadonlyMap<string, number>, now: ReadonlyMap<string, number>): number {
  let movement = Number.NaN;
  for (const [site, value] of now) {
    const change = Math.abs(Math.log(value / (before.get(site) ?? Number.NaN)));
    if (!(change <= movement)) movement = Number.isNaN(change) ? movement : change;
  }
  return movement;
}

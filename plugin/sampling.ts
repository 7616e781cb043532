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
  /** Whatever the distance: this step is sampled. */
  private urgent: number | undefined;

  constructor(settings: SamplingSettings, firstStep: number) {
    const { every, adaptive } = settings;
    this.settings = settings;
    this.firstStep = firstStep;
    this.interval = adaptive === undefined ? every : clamp(every, adaptive.shortest, adaptive.longest);
    this.next = firstStep;
  }

  isDue(step: number): boolean {
    return step >= this.next || this.isWarmUp(step) || (this.urgent !== undefined && step >= this.urgent);
  }

  /** A step was sampled; what it gave may come later. */
  sampled(step: number): void {
    const { every, adaptive } = this.settings;
    this.urgent = undefined;
    // Multiples of `every` whatever came between, so that runs, resumed ones too, can be compared step by step.
    this.next = adaptive === undefined ? (Math.floor(step / every) + 1) * every : step + this.interval;
  }

  /** What a sampled step gave: the largest change since the last one, as |ln(now / before)|; NaN for unknown. */
  moved(step: number, movement: number): void {
    const { adaptive } = this.settings;
    // In the warm-up the steps lie closer together than the distance that is to be judged.
    if (adaptive === undefined || this.isWarmUp(step)) return;
    const before = this.interval;
    if (movement >= fastMovement) this.interval = Math.max(adaptive.shortest, Math.floor(before / 2));
    else if (movement < slowMovement) this.interval = Math.min(adaptive.longest, before * 2);
    this.next += this.interval - before;
  }

  /** Something happened that should be looked at: this step is sampled, or the first that can be after it. */
  hurry(step: number): void {
    this.urgent = step;
  }

  private isWarmUp(step: number): boolean {
    return step - this.firstStep < this.settings.warmUpSteps;
  }
}

/**
 * Largest |ln(now / before)| of a metric over the sites of two sampled steps; NaN without a site in both. A metric that became
 * NaN, or stopped being it, moved as far as can be.
 */
export function movementBetween(before: ReadonlyMap<string, number>, now: ReadonlyMap<string, number>): number {
  let movement = Number.NaN;
  for (const [site, value] of now) {
    const last = before.get(site);
    if (last === undefined || (Number.isNaN(value) && Number.isNaN(last))) continue;
    const change = Math.abs(Math.log(value / last));
    movement = Math.max(
      Number.isNaN(movement) ? 0 : movement,
      Number.isNaN(change) ? Number.POSITIVE_INFINITY : change,
    );
  }
  return movement;
}

function clamp(value: number, least: number, most: number): number {
  return Math.max(least, Math.min(most, value));
}

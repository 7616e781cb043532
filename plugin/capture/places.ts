/**
 * Which of its places in the model a shared layer runs at. A layer that its holder runs three times is three places: `add`,
 * `add#2`, `add#3`; parts of a shared block are as many: `block/add`, `block#2/add`. Several passes through the model in one
 * step are the same places again.
 */
import * as tf from '@tensorflow/tfjs-core';
import type { Holder } from './layers.ts';

interface Runs {
  /** How many runs began so far; tells one from another. */
  begun: number;
  /** Runs in progress. */
  depth: number;
  /** The place of the run in progress, from 0. */
  place: number;
  /** What the calls are counted within: a run of the holder, or a forward pass. */
  scope: unknown;
  calls: number;
}

export class Places {
  private readonly runs = new Map<object, Runs>();

  /** To be called when a layer begins to run; the function returned when it ends. */
  enter(holder: Holder): () => void {
    const runs = this.runsOf(holder);
    const before = runs.place;
    runs.place = this.nextPlace(holder, runs);
    runs.begun += 1;
    runs.depth += 1;
    return () => {
      runs.place = before;
      runs.depth -= 1;
    };
  }

  /** The path of a layer that is running, with the places of its holders and its own. */
  pathOf(holder: Holder): string {
    const { place } = this.runsOf(holder);
    const name = place === 0 ? holder.name : `${holder.name}#${place + 1}`;
    const above = holder.holder === undefined ? '' : this.pathOf(holder.holder);
    return above === '' ? name : `${above}/${name}`;
  }

  private nextPlace({ callsPerRun, holder }: Holder, runs: Runs): number {
    if (callsPerRun === 1 || holder === undefined) return 0;
    const above = this.runsOf(holder);
    const isWithin = above.depth > 0;
    // Called by somebody else than its holder: nothing tells its places apart.
    if (!isWithin && callsPerRun === undefined) return 0;
    // A model may run without its own `call`. Then a new gradient tape is a new pass, also where the last was cut short.
    const scope = isWithin ? above.begun : tf.engine().state.activeTape;
    if (scope !== runs.scope) {
      runs.scope = scope;
      runs.calls = 0;
    }
    const call = runs.calls++;
    return callsPerRun === undefined ? call : call % callsPerRun;
  }

  private runsOf({ layer }: Holder): Runs {
    const known = this.runs.get(layer);
    if (known !== undefined) return known;
    const runs: Runs = { begun: 0, depth: 0, place: 0, scope: undefined, calls: 0 };
    this.runs.set(layer, runs);
    return runs;
  }
}

/**
 * From what trainers sent to one transaction: operations are applied to run records in the order of arrival, and what follows from
 * them (acknowledgements, notices, counters) waits as effects until the transaction is durable.
 */
import { decodeFrame, type Frame } from '../src/frame.ts';
import type { Alert, Bye, Hello } from '../src/messages.ts';
import type { Rule } from '../src/rules.ts';
import type { Health } from './health.ts';
import { afterBye, afterDeclare, afterFrame, afterHello, afterSilence, type RunRecord } from './run-record.ts';
import type { RunRegistry } from './runs.ts';
import type { Batch, FrameToStore } from './store.ts';

/** The trainer's side of an operation: what the writer tells it once the outcome is known. */
export interface Source {
  readonly runId: string;
  /**
   * False once an operation of it was refused or failed. What it sent afterwards must not be written: a later frame in the store
   * would say that the earlier one is there too.
   */
  readonly trusted: boolean;
  /** The hello is durable. */
  welcome(lastSequence: number): void;
  /** Everything up to that sequence number is durable. */
  acknowledge(lastSequence: number): void;
  /** The goodbye is durable. */
  goodbye(): void;
  /** The operation could not be applied: an OutlierscopeError when it contradicts what is stored, anything else is our own fault. */
  refuse(error: unknown): void;
  /** The store failed: nothing of the batch was kept. */
  retryLater(): void;
  /** It has enough in the queue: nothing more is to be read from it. May be called again. */
  wait(): void;
  /** It is to be read from again. */
  readOn(): void;
}

/** Something to be written, in the order of arrival. */
export type Operation =
  | { readonly kind: 'hello'; readonly source: Source; readonly hello: Hello }
  | { readonly kind: 'declare'; readonly source: Source; readonly declared: Pick<Hello, 'sites' | 'scalars'> }
  | { readonly kind: 'frame'; readonly source: Source; readonly frame: Frame; readonly bytes: Uint8Array }
  | { readonly kind: 'bye'; readonly source: Source; readonly bye: Bye }
  | { readonly kind: 'silence'; readonly source: Source };

/** Told after each commit, in order. */
export interface Audience {
  runChanged(record: RunRecord): void;
  frameStored(record: RunRecord, frame: Frame): void;
  alertChanged(alert: Alert): void;
  runDeleted(runId: string): void;
}

export interface PlanParts {
  readonly runs: RunRegistry;
  readonly rules: readonly Rule[];
  readonly health: Health;
  readonly audience: Audience;
  readonly now: () => number;
}

export interface Plan {
  readonly batch: Batch;
  /** What is to be done and told, in order, once the batch is durable; nothing of it if it is not. */
  readonly effects: readonly (() => void)[];
}

/** What a sequence of operations writes. Changes nothing but refused operations' sources. */
export function planBatch(operations: readonly Operation[], { runs, rules, health, audience, now }: PlanParts): Plan {
  const changed = new Map<string, RunRecord>();
  const frames: FrameToStore[] = [];
  /** The last frame of each run. */
  const latest = new Map<string, Uint8Array>();
  const alerts: Alert[] = [];
  const effects: (() => void)[] = [];
  /** Each source once, as acknowledgements are cumulative; told after welcomes and before goodbyes. */
  const acknowledgements = new Map<Source, number>();
  const goodbyes: Source[] = [];

  const current = (runId: string): RunRecord | undefined => changed.get(runId) ?? runs.get(runId);

  function become(record: RunRecord): void {
    if (record === current(record.id)) return;
    changed.set(record.id, record);
    effects.push(() => audience.runChanged(record));
  }

  function plan(operation: Operation): void {
    const { source } = operation;
    const record = current(source.runId);
    if (operation.kind === 'hello') {
      const next = afterHello(record, operation.hello, now());
      become(next);
      effects.push(() => source.welcome(next.progress.lastSequence));
      return;
    }
    if (record === undefined) return; // Its hello was refused.
    if (operation.kind === 'declare') become(afterDeclare(record, operation.declared));
    else if (operation.kind === 'silence') become(afterSilence(record, now()));
    else if (operation.kind === 'bye') {
      become(afterBye(record, operation.bye, now()));
      effects.push(() => health.framesDropped.inc(operation.bye.dropped));
      goodbyes.push(source);
    } else planFrame(record, operation.frame, operation.bytes, source);
  }

  function planFrame(record: RunRecord, frame: Frame, bytes: Uint8Array, source: Source): void {
    const after = afterFrame(record, frame, rules, now());
    acknowledgements.set(source, (after?.record ?? record).progress.lastSequence);
    if (after === undefined) {
      effects.push(() => health.framesDuplicate.inc());
      return;
    }
    changed.set(record.id, after.record);
    latest.set(record.id, bytes);
    frames.push({ runId: record.id, sequence: frame.sequence, step: frame.step, bytes });
    alerts.push(...after.transitions);
    effects.push(() => {
      runs.observe(after.record, frame);
      audience.frameStored(after.record, frame);
      for (const alert of after.transitions) {
        health.alerts.inc({ rule: alert.rule, state: alert.state });
        audience.alertChanged(alert);
      }
    });
  }

  for (const operation of operations) {
    if (!operation.source.trusted && operation.kind !== 'silence') continue;
    try {
      plan(operation);
    } catch (error) {
      operation.source.refuse(error);
    }
  }
  const adopt = (): void => {
    // Copied, as this one is kept, and with it would be all that arrived beside it.
    for (const record of changed.values()) {
      const bytes = latest.get(record.id);
      runs.adopt(record, bytes === undefined ? undefined : decodeFrame(bytes).frame);
    }
    health.framesStored.inc(frames.length);
  };
  effects.push(() => {
    for (const [source, lastSequence] of acknowledgements) source.acknowledge(lastSequence);
    for (const source of goodbyes) source.goodbye();
  });
  return { batch: { runs: [...changed.values()], frames, alerts }, effects: [adopt, ...effects] };
}

/** Brings one request to the receiver, however long that takes; of one that is refused, all but the samples that cannot be taken. */
import { setTimeout as sleep } from 'node:timers/promises';
import { type Answer, isByTime, retryDelay } from './answers.ts';
import { halve, requestOf, type SampleInRequest, samplesOf } from './bisect.ts';
import type { Client } from './client.ts';
import type { Tally } from './report.ts';

export interface DeliveryParts {
  readonly client: Client;
  readonly tally: Tally;
  readonly maxRetryMilliseconds: number;
  /** Told of each kind of trouble once, and of its end. */
  readonly log: (line: string) => void;
  readonly now: () => number;
}

/** Resolves when every sample of the request is taken or refused. Rejects only when the signal fires. */
export type Deliver = (request: Uint8Array, samples: number, signal: AbortSignal) => Promise<void>;

type Refused = Extract<Answer, { kind: 'refused' }>;

export function createDelivery({ client, tally, maxRetryMilliseconds, log, now }: DeliveryParts): Deliver {
  /** Kinds of trouble that were told and are not over. */
  const told = new Set<string>();
  const toldRefusals = new Set<string>();

  /** Tries until the receiver takes the request, or says that it will not. */
  async function send(request: Uint8Array, samples: number, signal: AbortSignal): Promise<Refused | undefined> {
    for (let failures = 0; ; ) {
      const answer = await client.post(request, signal);
      if (answer.kind === 'taken') {
        tally.sent(samples, now());
        if (told.size > 0) log('the receiver takes samples again');
        told.clear();
        return undefined;
      }
      if (answer.kind === 'refused') return answer;
      failures += 1;
      tally.failed(answer.code);
      if (!told.has(answer.code)) log(`${answer.detail}; nothing is lost, tried again`);
      told.add(answer.code);
      await sleep(retryDelay(failures, answer.wait, maxRetryMilliseconds, Math.random), undefined, { signal });
      tally.retried(samples);
    }
  }

  function giveUp(samples: readonly SampleInRequest[], { reason, detail }: Refused): void {
    tally.refused(reason, samples.length);
    if (toldRefusals.has(reason)) return;
    toldRefusals.add(reason);
    log(`the receiver refused samples (${detail}): those are counted, the others sent; told once`);
  }

  async function narrow(samples: readonly SampleInRequest[], refused: Refused, signal: AbortSignal): Promise<void> {
    const halves = halve(samples);
    const atOneTime = samples.every(({ time }) => time === samples[0]?.time);
    if (halves === undefined || (isByTime(refused.reason) && atOneTime)) {
      giveUp(samples, refused);
      return;
    }
    // One after the other, as the second half may hold what follows in the first one's series.
    for (const half of halves) {
      const answer = await send(requestOf(half), half.length, signal);
      if (answer !== undefined) await narrow(half, answer, signal);
    }
  }

  return async (request, samples, signal) => {
    const refused = await send(request, samples, signal);
    if (refused !== undefined) await narrow(samplesOf(request), refused, signal);
  };
}

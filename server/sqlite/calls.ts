/** Calls of methods across threads: arguments and results as messages, buffers handed over, errors as they were. */
import type { MessagePort, TransferListItem } from 'node:worker_threads';
import { messageOf, OutlierscopeError } from '../../src/errors.ts';

/** What a thread can be asked for. */
export type Methods = Readonly<Record<string, (...args: never[]) => unknown>>;

interface Call {
  readonly id: number;
  readonly method: string;
  readonly args: unknown[];
}

type Answer = { readonly id: number; readonly result: unknown } | { readonly id: number; readonly error: PlainError };

interface PlainError {
  readonly message: string;
  readonly code: string;
  readonly hint: string | undefined;
}

/** Answers calls that arrive at a port, up to one of `close`. */
export function answerCalls(port: MessagePort, methods: Methods): void {
  port.on('message', async ({ id, method, args }: Call) => {
    try {
      const result = await (methods[method] as (...values: unknown[]) => unknown)(...args);
      port.postMessage({ id, result } satisfies Answer, buffersOf(result));
    } catch (error) {
      port.postMessage({ id, error: plain(error) } satisfies Answer);
    }
    if (method === 'close') port.close(); // and the thread with it, as nothing else holds it
  });
}

/** The calling end: keeps what is under way. */
export class Calls {
  readonly #post: (message: Call, transfer: TransferListItem[]) => void;
  readonly #waiting = new Map<number, { resolve: (result: never) => void; reject: (error: Error) => void }>();
  #next = 0;

  constructor(post: (message: Call, transfer: TransferListItem[]) => void) {
    this.#post = post;
  }

  call<Result>(method: string, args: unknown[], transfer: TransferListItem[] = []): Promise<Result> {
    return new Promise<Result>((resolve, reject) => {
      const id = this.#next++;
      this.#waiting.set(id, { resolve, reject });
      this.#post({ id, method, args }, transfer);
    });
  }

  /** Takes a message of the thread; false if it is no answer. */
  receive(message: object): boolean {
    if (!('id' in message)) return false;
    const answer = message as Answer;
    const waiting = this.#waiting.get(answer.id);
    this.#waiting.delete(answer.id);
    if ('error' in answer) waiting?.reject(new OutlierscopeError(answer.error.message, optionsOf(answer.error)));
    else waiting?.resolve(answer.result as never);
    return true;
  }

  /** The thread is gone. */
  fail(error: Error): void {
    for (const { reject } of this.#waiting.values()) reject(error);
    this.#waiting.clear();
  }
}

function optionsOf({ code, hint }: PlainError): { code: string; hint?: string } {
  return { code, ...(hint === undefined ? {} : { hint }) };
}

function plain(error: unknown): PlainError {
  if (error instanceof OutlierscopeError) {
    const { message, code, hint } = error;
    // The hint is part of the message, and will be again.
    return { message: hint === undefined ? message : message.slice(0, -` (${hint})`.length), code, hint };
  }
  return { message: `the store failed: ${messageOf(error)}`, code: 'store-failed', hint: undefined };
}

/** The buffers at the top of a result, which are handed over instead of copied. */
function buffersOf(result: unknown): TransferListItem[] {
  if (result instanceof ArrayBuffer) return [result];
  if (result instanceof Uint8Array) return [result.buffer as ArrayBuffer];
  if (typeof result !== 'object' || result === null) return [];
  return Object.values(result).flatMap((value) =>
    Array.isArray(value) ? value.filter((each) => each instanceof ArrayBuffer) : [],
  );
}

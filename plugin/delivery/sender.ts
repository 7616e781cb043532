/**
 * The sending side of protocol v1: connects, says hello, sends frames, keeps each until the server has it for good, and
 * starts over after a lost connection where the server left off. Runs wherever there is a WebSocket.
 */
import { messageOf } from '../../src/errors.ts';
import { sequenceOffset } from '../../src/frame.ts';
import {
  type ActionResult,
  type Bye,
  closeCodes,
  type Declare,
  type Hello,
  ingestPath,
  parseServerMessage,
} from '../../src/messages.ts';
import { Backlog } from './backlog.ts';
import {
  type Beginning,
  type Delivery,
  type DeliveryCommand,
  type DeliveryEvent,
  type DeliveryReport,
  emptyReport,
  type Outcome,
} from './delivery.ts';
import type { BaseKeeper, Keeper, RestoredRun, SenderSettings, Socket } from './sender-parts.ts';

/** After these the server would refuse again: no reconnection. */
const finalCodes: ReadonlySet<number> = new Set([
  closeCodes.malformed,
  closeCodes.unauthorised,
  closeCodes.unsupportedVersion,
  closeCodes.tooLarge,
  1009, // a message beyond what the server's websocket takes at all
  closeCodes.replaced,
]);

const firstDelay = 250;
const longestDelay = 10_000;
/** Bytes handed to the socket ahead of the network: enough to fill it, little enough to stay in the backlog's account. */
const aheadBytes = 4 * 1024 * 1024;
/** Answers to actions that wait for a connection; a server that asks for more and hears nothing has lost them anyway. */
const mostAnswers = 64;

export class Sender implements Delivery {
  private readonly settings: SenderSettings;
  private readonly connect: (url: string) => Socket;
  private readonly emit: (event: DeliveryEvent) => void;
  private readonly keeper: Keeper | undefined;
  private baseKeeper: BaseKeeper | undefined;
  private readonly backlog: Backlog;
  private hello: Hello | undefined;
  /** What is added to sequence numbers; undefined while a resumed run has not heard where it goes on. */
  private base: number | undefined;
  private isHeld = false;
  /** Of an earlier process, and not welcomed yet. */
  private isRestored = false;
  private socket: Socket | undefined;
  /** The hello is on this connection. */
  private greeted = false;
  /** The server's answer to it has come. */
  private welcomed = false;
  /** The server welcomed once. */
  private begun = false;
  private refused = false;
  private failures = 0;
  private warned = false;
  private retry: ReturnType<typeof setTimeout> | undefined;
  private silence: ReturnType<typeof setTimeout> | undefined;
  private answers: ActionResult[] = [];
  private accepted = 0;
  private delivered = 0;
  /** Frames that were given up before they came here. */
  private droppedBefore = 0;
  private closing:
    | { bye: Omit<Bye, 'dropped'> | undefined; timer: ReturnType<typeof setTimeout> | undefined }
    | undefined;
  private closed = false;

  constructor(
    settings: SenderSettings,
    connect: (url: string) => Socket,
    emit: (event: DeliveryEvent) => void,
    keeper?: Keeper,
  ) {
    this.settings = settings;
    this.connect = connect;
    this.emit = emit;
    this.keeper = keeper;
    this.baseKeeper = keeper;
    this.backlog = new Backlog(settings.bufferBytes);
    if (keeper !== undefined) keeper.onEvicted = (shelf) => this.backlog.lose(shelf);
  }

  post(command: DeliveryCommand): void {
    if (this.closed) return;
    if (command.kind === 'start') this.start(command.hello, command.beginning);
    else if (command.kind === 'declare') this.declare(command.declare);
    else if (command.kind === 'frame') this.accept(command.sequence, command.bytes);
    else if (command.kind === 'actionResult') this.answer(command.result);
    else this.close(command.outcome, command.deadlineMilliseconds, command.dropped ?? 0);
  }

  /** Events are handed over as they come. */
  poll(): void {}

  /** Does not connect until `release`. */
  hold(): void {
    this.isHeld = true;
  }

  release(): void {
    if (!this.isHeld) return;
    this.isHeld = false;
    this.open();
  }

  /** Sends what is left of a run of an earlier process, then ends. */
  restore({ hello, base, frames, bye }: RestoredRun, keeper: BaseKeeper): void {
    this.hello = hello;
    this.baseKeeper = keeper;
    this.base = base ?? undefined;
    this.accepted = frames.length;
    for (const { sequence, place } of frames) this.backlog.push(sequence, undefined, place);
    this.droppedBefore = bye?.dropped ?? 0;
    this.closing = { bye: bye && { type: 'bye', outcome: bye.outcome }, timer: undefined };
    this.isRestored = true;
    this.open();
  }

  /** Ends without a word; what is not delivered is not. */
  abandon(): void {
    if (!this.closed) this.end();
  }

  /** Where it stands. */
  report(): DeliveryReport {
    return {
      ...emptyReport,
      accepted: this.accepted + this.droppedBefore,
      delivered: this.delivered,
      dropped: this.dropped,
      undelivered: this.backlog.waiting,
      safe: this.backlog.shelved,
    };
  }

  private get dropped(): number {
    return this.backlog.dropped + this.droppedBefore;
  }

  private start(hello: Hello, beginning: Beginning): void {
    this.hello = hello;
    if (beginning === 'fresh') this.base = 0;
    this.keeper?.begin(hello, this.base ?? null);
    this.open();
  }

  private declare(declare: Declare): void {
    if (this.hello === undefined) return;
    const { sites, scalars } = this.hello;
    this.hello = { ...this.hello, sites: [...sites, ...declare.sites], scalars: [...scalars, ...declare.scalars] };
    this.keeper?.declare(declare);
    // Before the hello there is nothing to add to: it will have it. After it, the server reads on in order, welcome or not.
    if (this.greeted) this.socket?.send(JSON.stringify(declare));
  }

  private accept(sequence: number, bytes: Uint8Array<ArrayBuffer>): void {
    this.accepted += 1;
    this.backlog.push(sequence, bytes, this.keeper?.append(bytes));
    this.flush();
  }

  private answer(result: ActionResult): void {
    this.answers.push(result);
    if (this.answers.length > mostAnswers) this.answers.shift();
    this.flush();
  }

  private open(): void {
    if (this.closed || this.refused || this.isHeld || this.hello === undefined) return;
    let socket: Socket;
    try {
      socket = this.connect(ingestAddress(this.settings.url));
    } catch (error) {
      this.lost(0, messageOf(error));
      return;
    }
    this.socket = socket;
    socket.binaryType = 'arraybuffer';
    let reason = '';
    socket.onopen = () => {
      socket.send(JSON.stringify(this.hello));
      this.greeted = true;
      this.awaitAnswer();
    };
    socket.onmessage = ({ data }: { data: unknown }) => {
      this.awaitAnswer();
      this.receive(data);
    };
    socket.onerror = (event: { message?: string }) => {
      reason = event.message ?? '';
    };
    socket.onclose = (event: { code: number; reason: string }) => this.lost(event.code, event.reason || reason);
  }

  private receive(data: unknown): void {
    if (typeof data !== 'string') return;
    try {
      const message = parseServerMessage(data);
      if (message?.type === 'welcome') this.begin(message.lastSequence);
      else if (message?.type === 'acknowledge') this.confirm(message.lastSequence);
      else if (message?.type === 'alert') this.emit({ kind: 'alert', alert: message });
      else if (message?.type === 'action') this.emit({ kind: 'action', action: message });
    } catch (error) {
      this.emit({
        kind: 'warning',
        about: 'server',
        text: `the server at ${this.settings.url} sent what this version does not understand: ${messageOf(error)}`,
      });
    }
  }

  /** The server has everything up to this sequence number. */
  private begin(lastSequence: number): void {
    this.welcomed = true;
    this.failures = 0;
    this.backlog.rewind();
    if (this.base === undefined) {
      this.base = lastSequence + 1;
      this.baseKeeper?.setBase(this.base);
    }
    this.delivered += this.backlog.confirm(lastSequence - this.base);
    // A restored run of which the server has everything was taken in before: what it dropped is counted already.
    if (this.isRestored && this.backlog.waiting === 0) this.droppedBefore = 0;
    this.isRestored = false;
    if (!this.begun) this.emit({ kind: 'welcomed', held: this.delivered });
    this.begun = true;
    this.flush();
  }

  private confirm(lastSequence: number): void {
    this.delivered += this.backlog.confirm(lastSequence - (this.base ?? 0));
    this.flush();
  }

  private flush(): void {
    if (!this.welcomed || this.socket === undefined) return;
    for (const result of this.answers.splice(0)) this.socket.send(JSON.stringify(result));
    while (this.socket.bufferedAmount < aheadBytes) {
      const next = this.backlog.takeNext();
      if (next === undefined) break;
      // Numbered when it was made, before the server said where a resumed run goes on.
      if (this.base)
        new DataView(next.bytes.buffer, next.bytes.byteOffset).setFloat64(
          sequenceOffset,
          next.sequence + this.base,
          true,
        );
      this.socket.send(next.bytes);
    }
    this.awaitAnswer();
    if (this.closing !== undefined && this.backlog.waiting === 0) this.leave();
  }

  /** Gives up a peer that owes an answer and is silent. */
  private awaitAnswer(): void {
    clearTimeout(this.silence);
    const { silenceMilliseconds } = this.settings;
    const { socket } = this;
    if (silenceMilliseconds === undefined || socket === undefined) return;
    if (this.welcomed && this.backlog.waiting === 0) return;
    this.silence = setTimeout(() => {
      socket.onclose = null; // it may come minutes later, or never
      socket.close();
      this.lost(1006, `no answer for ${silenceMilliseconds / 1000} s`);
    }, silenceMilliseconds);
  }

  private lost(code: number, reason: string): void {
    clearTimeout(this.silence);
    this.socket = undefined;
    this.greeted = false;
    this.welcomed = false;
    if (this.closed) return;
    if (finalCodes.has(code)) {
      this.refused = true;
      this.emit({
        kind: 'warning',
        about: 'refusal',
        reason: `${code} ${reason}`,
        text: `the server at ${this.settings.url} refused this run (${code} ${reason}); training goes on unobserved`,
      });
      if (this.closing !== undefined) this.end();
      return;
    }
    this.failures += 1;
    if (this.failures >= 2 && !this.warned) {
      this.warned = true;
      const told = reason || `connection closed, code ${code}`;
      this.emit({
        kind: 'warning',
        about: 'connection',
        reason: told,
        text: `no server at ${this.settings.url} (${told}); training goes on, frames are kept and the connection is tried again. Start one with: npx outlierscope serve`,
      });
    }
    const ceiling = Math.min(longestDelay, firstDelay * 2 ** Math.min(this.failures - 1, 10));
    this.retry = setTimeout(() => this.open(), ceiling * (0.5 + Math.random() / 2));
  }

  private close(outcome: Outcome, deadlineMilliseconds: number, droppedBefore: number): void {
    this.droppedBefore = droppedBefore;
    this.closing = { bye: { type: 'bye', outcome }, timer: setTimeout(() => this.end(), deadlineMilliseconds) };
    // Whatever happens from here on, the next start knows how the run ended.
    this.keeper?.bye({ type: 'bye', outcome, dropped: this.dropped });
    // Nothing was ever measured, or the server wants none of it: there is nothing to wait for.
    if (this.hello === undefined || this.refused) this.end();
    else this.flush();
  }

  /** All is delivered. */
  private leave(): void {
    const bye = this.closing?.bye;
    if (bye !== undefined) this.socket?.send(JSON.stringify({ ...bye, dropped: this.dropped }));
    this.end();
  }

  private end(): void {
    this.closed = true;
    clearTimeout(this.retry);
    clearTimeout(this.silence);
    clearTimeout(this.closing?.timer);
    const socket = this.socket;
    this.socket = undefined;
    const report = this.report();
    if (socket === undefined) {
      this.emit({ kind: 'closed', report });
      return;
    }
    // The goodbye is on its way only when the closing handshake ends, but a stuck peer must not hold up the caller.
    const done = () => {
      clearTimeout(timer);
      socket.onclose = null;
      this.emit({ kind: 'closed', report });
    };
    const timer = setTimeout(done, 1000);
    socket.onclose = done;
    socket.close(1000);
  }
}

/** The server's ingest endpoint; a path in the address is a proxy's prefix and stays. */
export function ingestAddress(url: string): string {
  const address = new URL(url);
  address.pathname = address.pathname.replace(/\/+$/, '') + ingestPath;
  return address.href;
}

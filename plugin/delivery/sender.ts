/**
 * The sending side of protocol v1: connects, says hello, sends frames, keeps each until the server has it for good, and
 * starts over after a lost connection where the server left off. Runs wherever there is a WebSocket.
 */
import { messageOf } from '../../src/errors.ts';
import { closeCodes, type Declare, type Hello, ingestPath, parseServerMessage } from '../../src/messages.ts';
import type { Delivery, DeliveryCommand, DeliveryEvent, DeliverySettings } from './delivery.ts';

/** The part of the WHATWG WebSocket that is used; npm `ws` has it too. */
export interface Socket {
  binaryType: string;
  readonly bufferedAmount: number;
  onopen: ((event: never) => void) | null;
  onmessage: ((event: never) => void) | null;
  onclose: ((event: never) => void) | null;
  onerror: ((event: never) => void) | null;
  send(data: string | Uint8Array<ArrayBuffer>): void;
  close(code?: number): void;
}

interface Unacknowledged {
  readonly sequence: number;
  readonly bytes: Uint8Array<ArrayBuffer>;
}

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
/** Bytes handed to the socket ahead of the network: enough to fill it, little enough to stay in the ring's account. */
const aheadBytes = 4 * 1024 * 1024;

export class Sender implements Delivery {
  private readonly settings: DeliverySettings;
  private readonly connect: (url: string) => Socket;
  private readonly emit: (event: DeliveryEvent) => void;
  private hello: Hello | undefined;
  private socket: Socket | undefined;
  /** The hello is on this connection. */
  private greeted = false;
  /** The server's answer to it has come. */
  private welcomed = false;
  private refused = false;
  private failures = 0;
  private warned = false;
  private retry: ReturnType<typeof setTimeout> | undefined;
  private readonly ring: Unacknowledged[] = [];
  private ringBytes = 0;
  /** How many of the ring's first frames are on this connection already. */
  private sent = 0;
  private accepted = 0;
  private delivered = 0;
  private dropped = 0;
  private closing: { outcome: 'finished' | 'failed'; timer: ReturnType<typeof setTimeout> } | undefined;
  private closed = false;

  constructor(settings: DeliverySettings, connect: (url: string) => Socket, emit: (event: DeliveryEvent) => void) {
    this.settings = settings;
    this.connect = connect;
    this.emit = emit;
  }

  post(command: DeliveryCommand): void {
    if (this.closed) return;
    if (command.kind === 'start') {
      this.hello = command.hello;
      this.open();
    } else if (command.kind === 'declare') this.declare(command.declare);
    else if (command.kind === 'frame') this.accept(command);
    else this.close(command.outcome, command.deadlineMilliseconds);
  }

  /** Events are handed over as they come. */
  poll(): void {}

  private declare(declare: Declare): void {
    if (this.hello === undefined) return;
    const { sites, scalars } = this.hello;
    this.hello = { ...this.hello, sites: [...sites, ...declare.sites], scalars: [...scalars, ...declare.scalars] };
    // Before the hello there is nothing to add to: it will have it. After it, the server reads on in order, welcome or not.
    if (this.greeted) this.socket?.send(JSON.stringify(declare));
  }

  private accept(frame: Unacknowledged): void {
    this.accepted += 1;
    this.ring.push({ sequence: frame.sequence, bytes: frame.bytes });
    this.ringBytes += frame.bytes.byteLength;
    while (this.ringBytes > this.settings.bufferBytes && this.ring.length > 1) {
      this.forget();
      this.dropped += 1;
    }
    this.flush();
  }

  private forget(): void {
    this.ringBytes -= this.ring.shift()?.bytes.byteLength ?? 0;
    this.sent = Math.max(0, this.sent - 1);
  }

  private open(): void {
    if (this.closed || this.refused || this.hello === undefined) return;
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
    };
    socket.onmessage = ({ data }: { data: unknown }) => this.receive(data);
    socket.onerror = (event: { message?: string }) => {
      reason = event.message ?? '';
    };
    socket.onclose = (event: { code: number; reason: string }) => this.lost(event.code, event.reason || reason);
  }

  private receive(data: unknown): void {
    if (typeof data !== 'string') return;
    try {
      const message = parseServerMessage(data);
      if (message?.type === 'welcome') {
        this.welcomed = true;
        this.failures = 0;
        this.sent = 0;
        this.confirm(message.lastSequence);
      } else if (message?.type === 'acknowledge') this.confirm(message.lastSequence);
      else if (message?.type === 'alert') this.emit({ kind: 'alert', alert: message });
    } catch (error) {
      this.emit({
        kind: 'warning',
        text: `the server at ${this.settings.url} sent what this version does not understand: ${messageOf(error)}`,
      });
    }
  }

  /** Everything up to this sequence number is durable. */
  private confirm(lastSequence: number): void {
    while (this.ring.length > 0 && (this.ring[0] as Unacknowledged).sequence <= lastSequence) {
      this.forget();
      this.delivered += 1;
    }
    this.flush();
  }

  private flush(): void {
    if (!this.welcomed || this.socket === undefined) return;
    while (this.sent < this.ring.length && this.socket.bufferedAmount < aheadBytes) {
      this.socket.send((this.ring[this.sent] as Unacknowledged).bytes);
      this.sent += 1;
    }
    if (this.closing !== undefined && this.ring.length === 0) this.sayBye(this.closing.outcome);
  }

  private lost(code: number, reason: string): void {
    this.socket = undefined;
    this.greeted = false;
    this.welcomed = false;
    if (this.closed) return;
    if (finalCodes.has(code)) {
      this.refused = true;
      this.emit({
        kind: 'warning',
        text: `the server at ${this.settings.url} refused this run (${code} ${reason}); training goes on unobserved`,
      });
      if (this.closing !== undefined) this.end();
      return;
    }
    this.failures += 1;
    if (this.failures >= 2 && !this.warned) {
      this.warned = true;
      this.emit({
        kind: 'warning',
        text: `no server at ${this.settings.url} (${reason || `connection closed, code ${code}`}); training goes on, frames are kept and the connection is tried again. Start one with: npx outlierscope serve`,
      });
    }
    const ceiling = Math.min(longestDelay, firstDelay * 2 ** Math.min(this.failures - 1, 10));
    this.retry = setTimeout(() => this.open(), ceiling * (0.5 + Math.random() / 2));
  }

  private close(outcome: 'finished' | 'failed', deadlineMilliseconds: number): void {
    this.closing = { outcome, timer: setTimeout(() => this.end(), deadlineMilliseconds) };
    // Nothing was ever measured, or the server wants none of it: there is nothing to wait for.
    if (this.hello === undefined || this.refused) this.end();
    else this.flush();
  }

  private sayBye(outcome: 'finished' | 'failed'): void {
    this.socket?.send(JSON.stringify({ type: 'bye', outcome, dropped: this.dropped }));
    this.end();
  }

  private end(): void {
    this.closed = true;
    clearTimeout(this.retry);
    clearTimeout(this.closing?.timer);
    const socket = this.socket;
    this.socket = undefined;
    const report = {
      accepted: this.accepted,
      delivered: this.delivered,
      dropped: this.dropped,
      undelivered: this.ring.length,
    };
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

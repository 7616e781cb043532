/**
 * One trainer's connection: the state machine of protocol v1 on the server's side, apart from sockets and stores.
 *
 *     awaiting hello --hello--> open --bye--> leaving
 *           any state --fault, replacement or loss--> ended
 */
import { catalogueVersion } from '../src/catalogue.ts';
import { OutlierscopeError } from '../src/errors.ts';
import { viewFrame } from '../src/frame.ts';
import {
  type Action,
  type ActionResult,
  type Alert,
  closeCodes,
  type Hello,
  parseTrainerMessage,
  protocolVersion,
  type ServerMessage,
} from '../src/messages.ts';
import { Denied } from './access/gate.ts';
import type { Principal } from './access/tokens.ts';
import { withDeclared } from './declared.ts';
import type { Health } from './health.ts';
import type { ServerLimits } from './limits.ts';
import type { Operation, Source } from './plan.ts';
import { checkShape, closeReason, fieldsOf } from './protocol.ts';
import { Refusal, type RefusalReason } from './refusals.ts';
import { type AdmitRun, checkRunLimits } from './run-limits.ts';

/** What the connection needs of a websocket. */
export interface TrainerSocket {
  send(text: string): void;
  close(code: number, reason: string): void;
  terminate(): void;
  pause(): void;
  resume(): void;
  /** Bytes given to `send` that the peer has not taken yet. */
  readonly bufferedAmount: number;
}

export interface TrainerConnection extends Source {
  receiveText(text: string): void;
  /** Takes bytes that are not changed any more. */
  receiveFrame(bytes: Uint8Array): void;
  sendAlert(alert: Alert): void;
  sendAction(action: Action): void;
  /** Another connection of the same run took over. */
  replaced(): void;
  /** The server does not want the connection, or not what it sent. */
  turnAway(refusal: Refusal): void;
  /** The socket is closed, whoever closed it. */
  ended(): void;
}

export interface TrainerConnectionParts {
  readonly socket: TrainerSocket;
  readonly limits: ServerLimits;
  /** Whose token it is. @throws Denied */
  readonly authorise: (token: string | undefined) => Principal;
  readonly admitRun: AdmitRun;
  readonly submit: (operation: Operation) => boolean;
  /** Makes the connection its run's only one. */
  readonly claim: (runId: string, connection: TrainerConnection) => void;
  /** Whether it still is. */
  readonly release: (runId: string, connection: TrainerConnection) => boolean;
  /** Hears how an action of the run went. */
  readonly onActionResult: (runId: string, result: ActionResult) => void;
  readonly health: Health;
  readonly now: () => number;
}

export const helloTimeoutMilliseconds = 10_000;

/** A trainer that leaves more than this unread is stuck: it would get what it missed on its next connection. */
const stuckBytes = 1024 * 1024;

/** What is counted, unless a refusal says it more exactly. */
const faults = {
  malformed: 'malformed',
  unauthorised: 'token_wrong',
  helloExpected: 'hello_expected',
  unsupportedVersion: 'unsupported_version',
  replaced: 'replaced',
  tooLarge: 'text_size',
  overloaded: 'overloaded',
  serverError: 'store',
} as const satisfies Record<keyof typeof closeCodes, RefusalReason>;

export function createTrainerConnection(parts: TrainerConnectionParts): TrainerConnection {
  const { socket, health, limits } = parts;
  let state: 'awaiting hello' | 'open' | 'leaving' | 'ended' = 'awaiting hello';
  /** The hello with all that was declared since. */
  let declared: Hello | undefined;
  let principal: Principal | undefined;
  let trusted = true;
  /** Nothing is read until what the trainer sent is written. */
  let waiting = false;
  const helloTimer = setTimeout(
    () => fault('helloExpected', `no hello within ${helloTimeoutMilliseconds / 1000} s`),
    helloTimeoutMilliseconds,
  );

  function fault(kind: keyof typeof closeCodes, text: string, reason: RefusalReason = faults[kind]): void {
    if (state === 'ended') return;
    end();
    health.refused.inc({ reason });
    socket.close(closeCodes[kind], closeReason(text));
  }

  /** From here on nothing that the trainer sends counts; its run falls silent unless it said goodbye or another connection has it. */
  function end(): void {
    clearTimeout(helloTimer);
    principal?.ended.removeEventListener('abort', withdrawn);
    state = 'ended';
    if (waiting) socket.resume(); // A closing handshake has to be read too.
    if (declared !== undefined && parts.release(declared.runId, connection))
      parts.submit({ kind: 'silence', source: connection });
  }

  function withdrawn(): void {
    fault('unauthorised', 'the token was withdrawn');
  }

  function submit(operation: Operation): void {
    if (!parts.submit(operation))
      fault('overloaded', 'the server has more to write than it can hold: connect again later');
  }

  function say(message: ServerMessage): void {
    if (state === 'ended') return;
    if (socket.bufferedAmount > stuckBytes) {
      health.peerErrors.inc();
      socket.terminate();
    } else socket.send(JSON.stringify(message));
  }

  /** Closes for an error of the trainer's making, or of our own. */
  function failed(error: unknown): void {
    if (error instanceof Refusal) fault(error.kind, error.message, error.reason);
    // Too many wrong tokens came from this address: the one that was sent may be right, later.
    else if (error instanceof Denied)
      fault(error.status === 429 ? 'overloaded' : 'unauthorised', error.message, error.reason);
    else if (error instanceof OutlierscopeError) fault('malformed', error.message);
    else {
      health.faults.inc();
      console.error('outlierscope server: unexpected fault in a trainer connection:', error);
      fault('serverError', 'an unexpected fault of the server: connect again later');
    }
  }

  function attempt(action: () => void): void {
    if (state === 'ended') return;
    try {
      action();
    } catch (error) {
      failed(error);
    }
  }

  function readText(text: string): void {
    if (Buffer.byteLength(text) > limits.textBytes) {
      throw new Refusal('tooLarge', 'text_size', `a text message of more than ${limits.textBytes} bytes`);
    }
    const type = fieldsOf(text)['type'];
    if (declared === undefined) {
      if (type !== 'hello') {
        // What is no string is not repeated: it may be nested too deeply to be written.
        const found = typeof type === 'string' ? JSON.stringify(type.slice(0, 40)) : 'one without a type';
        throw new Refusal('helloExpected', 'hello_expected', `the first message must be hello, not ${found}`);
      }
      readHello(text);
      return;
    }
    if (state === 'leaving') throw new Refusal('malformed', 'malformed', 'a message after bye');
    if (type === 'hello') throw new Refusal('malformed', 'malformed', 'a second hello on one connection');
    if (typeof type !== 'string') throw new Refusal('malformed', 'malformed', 'a message without a type');
    if (type !== 'declare' && type !== 'bye' && type !== 'actionResult') return; // Types of later versions are ignored.
    const message = parseTrainerMessage(text);
    if (message.type === 'declare') {
      const whole = withDeclared(declared, message);
      checkRunLimits(whole, limits);
      declared = whole;
      submit({ kind: 'declare', source: connection, declared });
    } else if (message.type === 'actionResult') parts.onActionResult(declared.runId, message);
    else if (message.type === 'bye') {
      state = 'leaving';
      submit({ kind: 'bye', source: connection, bye: message });
    }
  }

  function readHello(text: string): void {
    const version = fieldsOf(text)['protocol'];
    if (typeof version === 'number' && version !== protocolVersion) {
      throw new Refusal(
        'unsupportedVersion',
        'unsupported_version',
        `protocol ${version} is not known here, ${protocolVersion} is: use matching versions of outlierscope`,
      );
    }
    // The token goes no further than this.
    const { token, ...hello } = parseTrainerMessage(text) as Hello;
    principal = parts.authorise(token);
    if (hello.catalogue !== catalogueVersion) {
      throw new Refusal(
        'unsupportedVersion',
        'unsupported_version',
        `metric catalogue ${hello.catalogue} is not known here, ${catalogueVersion} is: use matching versions of outlierscope`,
      );
    }
    const whole = withDeclared(hello, { sites: [], scalars: [] });
    checkRunLimits(whole, limits);
    parts.admitRun(hello.runId);
    declared = whole;
    principal.ended.addEventListener('abort', withdrawn);
    clearTimeout(helloTimer);
    state = 'open';
    parts.claim(hello.runId, connection);
    submit({ kind: 'hello', source: connection, hello });
  }

  function readFrame(bytes: Uint8Array): void {
    if (declared === undefined) throw new Refusal('helloExpected', 'hello_expected', 'a frame came before hello');
    if (state === 'leaving') throw new Refusal('malformed', 'malformed', 'a frame after bye');
    const { frame, shape } = viewFrame(bytes);
    checkShape(shape, declared);
    health.framesReceived.inc();
    submit({ kind: 'frame', source: connection, frame, bytes });
  }

  const connection: TrainerConnection = {
    get runId() {
      return declared?.runId ?? '';
    },
    get trusted() {
      return trusted;
    },
    receiveText: (text) => attempt(() => readText(text)),
    receiveFrame: (bytes) => attempt(() => readFrame(bytes)),
    sendAlert: (alert) => say(alert),
    turnAway: (refusal) => failed(refusal),
    sendAction: (action) => say(action),
    replaced: () => fault('replaced', 'another connection of this run took over'),
    ended() {
      if (state !== 'ended') end();
    },
    welcome(lastSequence) {
      say({
        type: 'welcome',
        protocol: protocolVersion,
        lastSequence,
        serverTime: parts.now(),
        limits: { frameBytes: limits.frameBytes },
      });
    },
    acknowledge: (lastSequence) => say({ type: 'acknowledge', lastSequence }),
    goodbye() {
      if (state === 'ended') return;
      end();
      socket.close(1000, 'goodbye');
    },
    refuse(error) {
      trusted = false;
      failed(error);
    },
    retryLater() {
      trusted = false;
      fault('serverError', 'the store failed: connect again later');
    },
    wait() {
      if (state === 'ended' || waiting) return;
      waiting = true;
      socket.pause();
    },
    readOn() {
      if (state !== 'ended' && waiting) socket.resume();
      waiting = false;
    },
  };
  return connection;
}

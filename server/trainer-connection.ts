/**
 * One trainer's connection: the state machine of protocol v1 on the server's side, apart from sockets and stores.
 *
 *     awaiting hello --hello--> open --bye--> leaving
 *           any state --fault, replacement or loss--> ended
 */
import { catalogueVersion } from '../src/catalogue.ts';
import { OutlierscopeError } from '../src/errors.ts';
import { decodeFrame } from '../src/frame.ts';
import {
  type Alert,
  closeCodes,
  type Hello,
  limits,
  parseTrainerMessage,
  protocolVersion,
  type ServerMessage,
} from '../src/messages.ts';
import { tokenMatches } from './access.ts';
import { withDeclared } from './declared.ts';
import type { Health, RefusalReason } from './health.ts';
import type { Operation, Source } from './plan.ts';
import { checkShape, closeReason, fieldsOf } from './protocol.ts';

/** What the connection needs of a websocket. */
export interface TrainerSocket {
  send(text: string): void;
  close(code: number, reason: string): void;
}

export interface TrainerConnection extends Source {
  receiveText(text: string): void;
  receiveFrame(bytes: Uint8Array): void;
  sendAlert(alert: Alert): void;
  /** Another connection of the same run took over. */
  replaced(): void;
  /** The socket is closed, whoever closed it. */
  ended(): void;
}

export interface TrainerConnectionParts {
  readonly socket: TrainerSocket;
  readonly token: string | undefined;
  readonly submit: (operation: Operation) => boolean;
  /** Makes the connection its run's only one. */
  readonly claim: (runId: string, connection: TrainerConnection) => void;
  /** Whether it still is. */
  readonly release: (runId: string, connection: TrainerConnection) => boolean;
  readonly health: Health;
  readonly now: () => number;
}

export const helloTimeoutMilliseconds = 10_000;

const faults = {
  malformed: 'malformed',
  unauthorised: 'unauthorised',
  helloExpected: 'hello_expected',
  unsupportedVersion: 'unsupported_version',
  replaced: 'replaced',
  tooLarge: 'too_large',
  overloaded: 'overloaded',
  serverError: 'store',
} as const satisfies Record<keyof typeof closeCodes, RefusalReason>;

/** Thrown while a message is read: closes the connection with that code. */
class Refusal extends Error {
  readonly kind: keyof typeof closeCodes;

  constructor(kind: keyof typeof closeCodes, reason: string) {
    super(reason);
    this.kind = kind;
  }
}

export function createTrainerConnection(parts: TrainerConnectionParts): TrainerConnection {
  const { socket, health } = parts;
  let state: 'awaiting hello' | 'open' | 'leaving' | 'ended' = 'awaiting hello';
  /** The hello with all that was declared since. */
  let declared: Hello | undefined;
  let trusted = true;
  const helloTimer = setTimeout(
    () => fault('helloExpected', `no hello within ${helloTimeoutMilliseconds / 1000} s`),
    helloTimeoutMilliseconds,
  );

  function fault(kind: keyof typeof closeCodes, reason: string): void {
    if (state === 'ended') return;
    end();
    health.refused.inc({ reason: faults[kind] });
    socket.close(closeCodes[kind], closeReason(reason));
  }

  /** From here on nothing that the trainer sends counts; its run falls silent unless it said goodbye or another connection has it. */
  function end(): void {
    clearTimeout(helloTimer);
    state = 'ended';
    if (declared !== undefined && parts.release(declared.runId, connection))
      parts.submit({ kind: 'silence', source: connection });
  }

  function submit(operation: Operation): void {
    if (!parts.submit(operation))
      fault('overloaded', 'the server has more to write than it can hold: connect again later');
  }

  function say(message: ServerMessage): void {
    if (state !== 'ended') socket.send(JSON.stringify(message));
  }

  /** Closes for an error of the trainer's making, or of our own. */
  function failed(error: unknown): void {
    if (error instanceof Refusal) fault(error.kind, error.message);
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
      throw new Refusal('tooLarge', `a text message of more than ${limits.textBytes} bytes`);
    }
    const type = fieldsOf(text)['type'];
    if (declared === undefined) {
      if (type !== 'hello') {
        // What is no string is not repeated: it may be nested too deeply to be written.
        const found = typeof type === 'string' ? JSON.stringify(type.slice(0, 40)) : 'one without a type';
        throw new Refusal('helloExpected', `the first message must be hello, not ${found}`);
      }
      readHello(text);
      return;
    }
    if (state === 'leaving') throw new Refusal('malformed', 'a message after bye');
    if (type === 'hello') throw new Refusal('malformed', 'a second hello on one connection');
    if (typeof type !== 'string') throw new Refusal('malformed', 'a message without a type');
    if (type !== 'declare' && type !== 'bye') return; // Types of later versions are ignored.
    const message = parseTrainerMessage(text);
    if (message.type === 'declare') {
      declared = withDeclared(declared, message);
      submit({ kind: 'declare', source: connection, declared });
    } else if (message.type === 'bye') {
      state = 'leaving';
      submit({ kind: 'bye', source: connection, bye: message });
    }
  }

  function readHello(text: string): void {
    const version = fieldsOf(text)['protocol'];
    if (typeof version === 'number' && version !== protocolVersion) {
      throw new Refusal(
        'unsupportedVersion',
        `protocol ${version} is not known here, ${protocolVersion} is: use matching versions of outlierscope`,
      );
    }
    const hello = parseTrainerMessage(text) as Hello;
    if (!tokenMatches(parts.token, hello.token)) {
      throw new Refusal('unauthorised', 'the token is missing or wrong: set OUTLIERSCOPE_TOKEN or the option token');
    }
    if (hello.catalogue !== catalogueVersion) {
      throw new Refusal(
        'unsupportedVersion',
        `metric catalogue ${hello.catalogue} is not known here, ${catalogueVersion} is: use matching versions of outlierscope`,
      );
    }
    declared = withDeclared(hello, { sites: [], scalars: [] });
    clearTimeout(helloTimer);
    state = 'open';
    parts.claim(hello.runId, connection);
    submit({ kind: 'hello', source: connection, hello });
  }

  function readFrame(bytes: Uint8Array): void {
    if (declared === undefined) throw new Refusal('helloExpected', 'a frame came before hello');
    if (state === 'leaving') throw new Refusal('malformed', 'a frame after bye');
    const { frame, shape } = decodeFrame(bytes);
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
  };
  return connection;
}

/**
 * One trainer's connection: the state machine of protocol v1 on the server's side, apart from sockets and stores.
 *
 *     awaiting hello --hello--> open --bye--> leaving
 *           any state --fault, replacement or loss--> ended
 */
import { catalogueVersion } from '../src/catalogue.ts';
import { OutlierscopeError } from '../src/errors.ts';
import { decodeFrame, type FrameShape } from '../src/frame.ts';
import { type Alert, closeCodes, type Hello, limits, parseTrainerMessage, protocolVersion, type ServerMessage } from '../src/messages.ts';
import { tokenMatches } from './access.ts';
import type { Health, RefusalReason } from './health.ts';
import { withDeclared } from './run-record.ts';
import type { Operation, Source } from './plan.ts';

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

export function createTrainerConnection(parts: TrainerConnectionParts): TrainerConnection {
  const { socket, health } = parts;
  let state: 'awaiting hello' | 'open' | 'leaving' | 'ended' = 'awaiting hello';
  /** The hello with all that was declared since. */
  let declared: Hello | undefined;
  let trusted = true;
  const helloTimer = setTimeout(() => fault('helloExpected', `no hello within ${helloTimeoutMilliseconds / 1000} s`), helloTimeoutMilliseconds);

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
    if (declared !== undefined && parts.release(declared.runId, connection)) parts.submit({ kind: 'silence', source: connection });
  }

  function submit(operation: Operation): void {
    if (!parts.submit(operation)) fault('overloaded', 'the server has more to write than it can hold: connect again later');
  }

  function say(message: ServerMessage): void {
    if (state !== 'ended') socket.send(JSON.stringify(message));
  }

  /** Closes for an error of the trainer's making, or of our own. */
  function failed(error: unknown): void {
    if (error instanceof OutlierscopeError) return fault('malformed', error.message);
    health.faults.inc();
    console.error('outlierscope server: unexpected fault in a trainer connection:', error);
    fault('serverError', 'an unexpected fault of the server: connect again later');
  }

  function attempt(action: () => void): void {
    try {
      action();
    } catch (error) {
      failed(error);
    }
  }

  function receiveHello(text: string): void {
    const version = fieldsOf(text)['protocol'];
    if (typeof version === 'number' && version !== protocolVersion) {
      return fault('unsupportedVersion', `protocol ${version} is not known here, ${protocolVersion} is: use matching versions of outlierscope`);
    }
    const hello = parseTrainerMessage(text) as Hello;
    if (!tokenMatches(parts.token, hello.token)) return fault('unauthorised', 'the token is missing or wrong: set OUTLIERSCOPE_TOKEN or the option token');
    if (hello.catalogue !== catalogueVersion) {
      return fault('unsupportedVersion', `metric catalogue ${hello.catalogue} is not known here, ${catalogueVersion} is: use matching versions of outlierscope`);
    }
    declared = withDeclared(hello, { sites: [], scalars: [] });
    clearTimeout(helloTimer);
    state = 'open';
    parts.claim(hello.runId, connection);
    submit({ kind: 'hello', source: connection, hello });
  }

  function receiveOther(text: string, before: Hello): void {
    const message = parseTrainerMessage(text);
    if (message.type === 'hello') return fault('malformed', 'a second hello on one connection');
    if (message.type === 'declare') {
      declared = withDeclared(before, message);
      submit({ kind: 'declare', source: connection, declared });
    } else {
      state = 'leaving';
      submit({ kind: 'bye', source: connection, bye: message });
    }
  }

  const connection: TrainerConnection = {
    get runId() {
      return declared?.runId ?? '';
    },
    get trusted() {
      return trusted;
    },
    receiveText(text) {
      if (state === 'ended') return;
      if (Buffer.byteLength(text) > limits.textBytes) return fault('tooLarge', `a text message of more than ${limits.textBytes} bytes`);
      attempt(() => {
        const type = fieldsOf(text)['type'];
        if (declared === undefined) {
          if (type === 'hello') receiveHello(text);
          else fault('helloExpected', `the first message must be hello, not ${JSON.stringify(type)}`);
        } else if (state === 'leaving') fault('malformed', 'a message after bye');
        else if (type === 'hello' || type === 'declare' || type === 'bye') receiveOther(text, declared);
        else if (typeof type !== 'string') fault('malformed', 'a message without a type');
        // Types of later versions are ignored.
      });
    },
    receiveFrame(bytes) {
      if (state === 'ended') return;
      if (declared === undefined) return fault('helloExpected', 'a frame came before hello');
      if (state === 'leaving') return fault('malformed', 'a frame after bye');
      const shape = declared;
      attempt(() => {
        const decoded = decodeFrame(bytes);
        checkShape(decoded.shape, shape);
        health.framesReceived.inc();
        submit({ kind: 'frame', source: connection, frame: decoded.frame, bytes });
      });
    },
    sendAlert: (alert) => say(alert),
    replaced: () => fault('replaced', 'another connection of this run took over'),
    ended() {
      if (state !== 'ended') end();
    },
    welcome(lastSequence) {
      say({ type: 'welcome', protocol: protocolVersion, lastSequence, serverTime: parts.now(), limits: { frameBytes: limits.frameBytes } });
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

/** @throws OutlierscopeError (`malformed-frame`) for a frame that the declared lists cannot explain. */
function checkShape(shape: FrameShape, { sites, metrics, scalars, topNeurons }: Hello): void {
  const wrong = (what: string, found: number, expected: string): never => {
    throw new OutlierscopeError(`malformed frame: it has ${found} ${what}, declared are ${expected}`, { code: 'malformed-frame' });
  };
  if (shape.metrics !== metrics.length) wrong('metrics', shape.metrics, String(metrics.length));
  // Frames from before a declare have fewer sites and scalars, and may be sent again after it.
  if (shape.sites > sites.length) wrong('sites', shape.sites, `at most ${sites.length}`);
  if (shape.scalars > scalars.length) wrong('scalars', shape.scalars, `at most ${scalars.length}`);
  if (shape.topNeurons > topNeurons) wrong('top neurons', shape.topNeurons, `at most ${topNeurons}`);
}

/** @throws OutlierscopeError (`malformed-message`) for a text that is no JSON object. */
function fieldsOf(text: string): Record<string, unknown> {
  let json: unknown;
  try {
    json = JSON.parse(text);
  } catch {
    json = undefined;
  }
  if (typeof json === 'object' && json !== null) return json as Record<string, unknown>;
  throw new OutlierscopeError(`malformed message: ${JSON.stringify(text.slice(0, 40))} is no JSON object`, { code: 'malformed-message' });
}

/** A close frame has room for 123 bytes of reason. */
function closeReason(text: string): string {
  let reason = text;
  while (Buffer.byteLength(reason) > 123) reason = reason.slice(0, -1);
  return reason;
}

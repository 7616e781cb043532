/**
 * Delivery's side in the worker thread: what the monitor hands over goes to the recording, to the spool and to the server, and what
 * earlier runs left in the spool is sent beside it.
 */
import type { Bye } from '../../src/messages.ts';
import {
  type DeliveryCommand,
  type DeliveryEvent,
  type DeliveryReport,
  type DeliverySettings,
  emptyReport,
} from './delivery.ts';
import type { Disk } from './disk.ts';
import type { Leftover, OpenLeftover } from './leftovers.ts';
import type { RecordingFile } from './recording-file.ts';
import { Sender } from './sender.ts';
import type { Socket } from './sender-parts.ts';
import type { Spool } from './spool.ts';

export interface CourierParts {
  readonly settings: DeliverySettings;
  readonly connect: (url: string) => Socket;
  readonly emit: (event: DeliveryEvent) => void;
  readonly disk: Disk;
  readonly recording: RecordingFile | undefined;
  readonly spool: Spool | undefined;
  /** Claimed already, oldest first. */
  readonly leftovers: Leftover[];
}

export class Courier {
  private readonly parts: CourierParts;
  private readonly sender: Sender | undefined;
  private accepted = 0;
  private recovered = 0;
  private droppedBefore = 0;
  /** What is sent of earlier runs right now. */
  private recovery: { readonly sender: Sender; readonly leftover: Leftover; readonly open: OpenLeftover } | undefined;
  /** Of the run's own sender, when it has ended. */
  private ended: DeliveryReport | undefined;
  private deadline: ReturnType<typeof setTimeout> | undefined;
  private isOver = false;

  constructor(parts: CourierParts) {
    this.parts = parts;
    const { settings, connect, emit, spool } = parts;
    if (settings.url === undefined) return;
    const receive = (event: DeliveryEvent) => (event.kind === 'closed' ? this.senderEnded(event.report) : emit(event));
    this.sender = new Sender({ url: settings.url, bufferBytes: settings.bufferBytes }, connect, receive, spool);
    this.recoverNext();
  }

  post(command: DeliveryCommand): void {
    const { recording } = this.parts;
    if (command.kind === 'start') {
      // Two connections of one run replace each other, and its earlier frames come first.
      if (command.beginning === 'resumed' && this.recovery !== undefined) this.sender?.hold();
      recording?.begin(command.hello);
    } else if (command.kind === 'declare') recording?.declare(command.declare);
    else if (command.kind === 'frame') {
      this.accepted += 1;
      recording?.append(command.bytes);
    } else if (command.kind === 'close') this.close(command);
    this.sender?.post(command);
  }

  /** Where it stands. */
  report(): DeliveryReport {
    const { recording, disk } = this.parts;
    const recorded = recording?.frames ?? 0;
    const own = this.ended ?? this.sender?.report();
    const alone = {
      ...emptyReport,
      accepted: this.accepted + this.droppedBefore,
      delivered: recorded,
      dropped: this.accepted - recorded + this.droppedBefore,
    };
    const recovered = this.recovered + (this.recovery?.sender.report().delivered ?? 0);
    return { ...(own ?? alone), recorded, recovered, diskFaults: disk.faults };
  }

  private close({ outcome, deadlineMilliseconds, dropped = 0 }: DeliveryCommand & { kind: 'close' }): void {
    this.droppedBefore = dropped;
    const bye: Bye = { type: 'bye', outcome, dropped: this.report().dropped };
    this.parts.recording?.end(bye);
    if (this.sender === undefined) this.finish();
    else this.deadline = setTimeout(() => this.finish(), deadlineMilliseconds + 1100); // its own sender ends before
  }

  private senderEnded(report: DeliveryReport): void {
    this.ended = report;
    if (this.recovery === undefined || report.undelivered > 0) this.finish();
  }

  /** Sends what the next of the earlier runs left; one after the other. */
  private recoverNext(): void {
    const { settings, connect, emit, leftovers } = this.parts;
    if (this.isOver || settings.url === undefined) return;
    this.recovery = undefined;
    for (let leftover = leftovers.shift(); leftover !== undefined; leftover = leftovers.shift()) {
      const open = leftover.open();
      if (open === undefined) continue;
      if (open.run === undefined) {
        open.close();
        leftover.remove();
        continue;
      }
      const sender = new Sender({ url: settings.url, bufferBytes: settings.bufferBytes }, connect, (event) => {
        if (event.kind === 'closed') this.recoveryEnded(event.report);
        // That there is no server, the run's own sender tells.
        else if (event.kind === 'warning' && event.about === 'refusal')
          emit({ ...event, text: `an earlier run: ${event.text}` });
      });
      this.recovery = { sender, leftover, open };
      const { token } = settings;
      const { run } = open;
      sender.restore({ ...run, hello: { ...run.hello, ...(token !== undefined && { token }) } }, open);
      return;
    }
    this.sender?.release();
    if (this.ended !== undefined) this.finish();
  }

  private recoveryEnded(report: DeliveryReport): void {
    const { recovery } = this;
    recovery?.open.close();
    this.recovered += report.delivered;
    // What the server refuses stays: the user may want it, and another server may take it.
    if (report.undelivered === 0) recovery?.leftover.remove();
    this.recoverNext();
  }

  private finish(): void {
    if (this.isOver) return;
    this.isOver = true;
    clearTimeout(this.deadline);
    this.recovery?.sender.abandon();
    const report = this.report();
    this.parts.spool?.close(report.undelivered === 0 ? 'all delivered' : 'some left');
    this.parts.emit({ kind: 'closed', report });
  }
}

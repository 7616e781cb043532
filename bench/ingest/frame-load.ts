/**
 * Trainers that send as fast as the server acknowledges: every connection keeps a window of frames on their way. Frames lie ready as
 * masked WebSocket messages, as the bodies of the other servers lie ready; sequence, step and time are written when one is sent.
 */
import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { connect, type Socket } from 'node:net';
import { WebSocket } from 'ws';
import { frameOf, helloOf, runIdOf, samplesPerFrame, timeOf } from './workload.ts';

export interface FrameLoad {
  readonly port: number;
  readonly connections: number;
  /** Frames of a connection that may be unacknowledged. */
  readonly window: number;
  readonly random: () => number;
}

/** Sends for that long; the samples of frames acknowledged meanwhile, and the time. */
export async function runFrameLoad(
  load: FrameLoad,
  milliseconds: number,
): Promise<{ samples: number; seconds: number }> {
  const trainers = await Promise.all(Array.from({ length: load.connections }, (_, run) => join(load, run)));
  const began = performance.now();
  const end = began + milliseconds;
  let samples = 0;
  for (const trainer of trainers) {
    trainer.start((acknowledged) => {
      if (performance.now() <= end) samples += acknowledged * samplesPerFrame;
    });
  }
  await new Promise((resolve) => setTimeout(resolve, milliseconds));
  await Promise.all(trainers.map((trainer) => trainer.stop()));
  return { samples, seconds: milliseconds / 1000 };
}

interface LoadTrainer {
  start(acknowledged: (frames: number) => void): void;
  /** Sends no more, and resolves once everything is acknowledged and the server said goodbye. */
  stop(): Promise<void>;
}

async function join(load: FrameLoad, run: number): Promise<LoadTrainer> {
  let raw: Socket | undefined;
  const socket = new WebSocket(`ws://127.0.0.1:${load.port}/v1/ingest`, {
    perMessageDeflate: false,
    createConnection: (options: unknown) => {
      raw = connect({ ...(options as { host: string; port: number }), noDelay: true });
      return raw;
    },
  });
  await once(socket, 'open');
  const welcome = once(socket, 'message');
  socket.send(JSON.stringify(helloOf(runIdOf('bench', run))));
  // The run goes on where it stood: every round adds to the same series.
  const { lastSequence } = JSON.parse(String((await welcome)[0])) as { lastSequence: number };

  const start = Date.now() - 24 * 60 * 60 * 1000;
  const pool = Array.from({ length: load.window }, () => maskedFrame(frameOf(load.random)));
  let next = lastSequence + 1;
  let held = lastSequence;
  let sending = false;

  function fill(): void {
    if (raw === undefined || !sending) return;
    raw.cork();
    for (; next - held <= load.window; next++)
      raw.write((pool[next % load.window] as MaskedFrame).numbered(next, start));
    raw.uncork();
  }

  return {
    start(acknowledged) {
      socket.on('message', (data) => {
        const message = JSON.parse(String(data)) as { type: string; lastSequence: number };
        if (message.type !== 'acknowledge') return;
        acknowledged(message.lastSequence - held);
        held = message.lastSequence;
        fill();
      });
      socket.on('close', (code, reason) => {
        if (code !== 1000) throw new Error(`the server closed a connection under load: ${code} ${reason}`);
      });
      sending = true;
      fill();
    },
    async stop() {
      sending = false;
      const closed = once(socket, 'close');
      socket.send(JSON.stringify({ type: 'bye', outcome: 'finished' }));
      await closed;
      if (held !== next - 1)
        throw new Error(`run ${run}: frames up to ${next - 1} were sent, up to ${held} acknowledged`);
    },
  };
}

interface MaskedFrame {
  /** The whole WebSocket message, with that number. */
  numbered(sequence: number, start: number): Uint8Array;
}

/** A frame as a client's WebSocket message: header, mask, masked bytes (RFC 6455, section 5). */
function maskedFrame(frame: Uint8Array): MaskedFrame {
  const head = Buffer.alloc(8);
  head[0] = 0x82; // the last and only part of a binary message
  head[1] = 0x80 | 126; // masked, the length in the next 16 bits
  if (frame.length > 0xffff) throw new RangeError(`a frame of ${frame.length} bytes is longer than this client sends`);
  head.writeUInt16BE(frame.length, 2);
  const mask = randomBytes(4);
  head.set(mask, 4);
  const message = Buffer.concat([head, frame]);
  const maskFrom = (from: number, to: number): void => {
    for (let index = from; index < to; index++) {
      message[head.length + index] = (message[head.length + index] as number) ^ (mask[index % 4] as number);
    }
  };
  maskFrom(0, frame.length);
  return {
    numbered(sequence, start) {
      message.writeDoubleLE(sequence, head.length + 16);
      message.writeDoubleLE(sequence * 10, head.length + 24);
      message.writeDoubleLE(timeOf(start, sequence), head.length + 32);
      maskFrom(16, 40);
      return message;
    },
  };
}

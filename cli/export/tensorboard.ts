/**
 * TensorBoard's event files: an Event for each frame, with a scalar summary for each number. Written by hand, as it takes five
 * fields of two messages (tensorflow/core/util/event.proto, tensorflow/core/framework/summary.proto):
 *
 *     Event   1 double wall_time, seconds   2 int64 step   3 string file_version   5 Summary summary
 *     Summary 1 repeated Value value        Value   1 string tag   2 float simple_value
 */
import type { ExportFile, Format, Source } from './format.ts';
import { type Column, forEachMeasured } from './selection.ts';
import { tfRecord } from './tfrecord.ts';

export const tensorboard: Format = {
  content: 'binary',
  single: null, // TensorBoard reads folders, and calls a run by its folder's name.
  all: (source) => [file(source)],
};

function file(source: Source): ExportFile {
  const { id, description } = source.run;
  // The same name every time: a second export replaces the first instead of adding to it.
  const began = Math.max(0, Math.floor(description.startedAt / 1000));
  return { name: `${id}/events.out.tfevents.${began}.outlierscope`, pieces: records(source) };
}

async function* records({ run, selection: { columns }, frames }: Source): AsyncIterable<Uint8Array> {
  const version = Buffer.from('brain.Event:2');
  yield tfRecord(Buffer.concat([wallTime(run.description.startedAt), field(3, version)]));
  const tags = columns.map((column) => valueStart(tagOf(column)));
  for await (const frame of frames()) {
    const values: Uint8Array[] = [];
    forEachMeasured(frame, columns, (value, position) => {
      values.push(tags[position] as Uint8Array, float(value));
    });
    if (values.length === 0) continue;
    const parts = [wallTime(frame.time), Uint8Array.of(0x10), varint(frame.step), field(5, Buffer.concat(values))];
    yield tfRecord(Buffer.concat(parts));
  }
}

/** The part before the first / is a group of charts in TensorBoard. */
function tagOf({ site, metric }: Column): string {
  return site === null ? metric : `${metric}/${site}`;
}

/** A Value up to its number: field 1 of the summary, with the tag, and the key of simple_value. */
function valueStart(tag: string): Uint8Array {
  const name = field(1, Buffer.from(tag));
  return Buffer.concat([Uint8Array.of(0x0a), varint(name.byteLength + 5), name, Uint8Array.of(0x15)]);
}

function float(value: number): Uint8Array {
  const bytes = Buffer.alloc(4);
  bytes.writeFloatLE(value);
  return bytes;
}

function wallTime(milliseconds: number): Uint8Array {
  const bytes = Buffer.alloc(9);
  bytes[0] = 0x09;
  bytes.writeDoubleLE(milliseconds / 1000, 1);
  return bytes;
}

/** A field of bytes. */
function field(number: number, bytes: Uint8Array): Uint8Array {
  return Buffer.concat([Uint8Array.of((number << 3) | 2), varint(bytes.byteLength), bytes]);
}

/** A whole number, 0 to 2^53 - 1, seven bits a byte, lowest first. */
function varint(value: number): Uint8Array {
  const bytes: number[] = [];
  let rest = value;
  for (; rest > 127; rest = Math.floor(rest / 128)) bytes.push((rest % 128) | 128);
  bytes.push(rest);
  return Uint8Array.from(bytes);
}

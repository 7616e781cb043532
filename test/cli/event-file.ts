/** Reads TensorBoard's event files, checksums checked, by the descriptions of the formats alone: none of the exporting code is used. */

export interface Event {
  readonly wallTime: number;
  readonly step: number;
  readonly fileVersion: string | undefined;
  readonly values: readonly { readonly tag: string; readonly value: number }[];
}

export function readEvents(file: Buffer): Event[] {
  const events: Event[] = [];
  for (let offset = 0; offset < file.length; ) {
    const length = Number(file.readBigUInt64LE(offset));
    expectChecksum(file.subarray(offset, offset + 8), file.readUInt32LE(offset + 8));
    const data = file.subarray(offset + 12, offset + 12 + length);
    expectChecksum(data, file.readUInt32LE(offset + 12 + length));
    events.push(toEvent(data));
    offset += 16 + length;
  }
  return events;
}

function expectChecksum(data: Buffer, stated: number): void {
  const rotated = (stated - 0xa282ead8) >>> 0;
  const crc = ((rotated >>> 17) | (rotated << 15)) >>> 0;
  if (crc !== bitwiseCrc32c(data)) throw new Error('a checksum is wrong');
}

/** By the polynomial x^32 + x^28 + x^27 + ... + 1 (0x1EDC6F41), reflected; a bit at a time. */
function bitwiseCrc32c(data: Buffer): number {
  let crc = 0xffffffff;
  for (const byte of data) {
    for (let bit = 0; bit < 8; bit++) {
      const carry = (crc ^ (byte >>> bit)) & 1;
      crc = (crc >>> 1) ^ (carry === 1 ? 0x82f63b78 : 0);
    }
  }
  return ~crc >>> 0;
}

function toEvent(data: Buffer): Event {
  const fields = fieldsOf(data);
  const bytes = (number: number): Buffer | undefined => fields.find((field) => field.number === number)?.bytes;
  const summary = bytes(5);
  return {
    wallTime: bytes(1)?.readDoubleLE() ?? 0,
    step: fields.find(({ number }) => number === 2)?.varint ?? 0,
    fileVersion: bytes(3)?.toString(),
    values: (summary === undefined ? [] : fieldsOf(summary)).map(({ bytes: value }) => {
      const parts = fieldsOf(value);
      return { tag: parts[0]?.bytes.toString() ?? '', value: parts[1]?.bytes.readFloatLE() ?? 0 };
    }),
  };
}

interface Field {
  readonly number: number;
  readonly varint: number;
  readonly bytes: Buffer;
}

/** A protocol buffer's fields: varint (0), eight bytes (1), a length and bytes (2), four bytes (5). */
function fieldsOf(data: Buffer): Field[] {
  const fields: Field[] = [];
  let offset = 0;
  const varint = (): number => {
    let value = 0n;
    for (let shift = 0n; ; shift += 7n) {
      const byte = data.readUInt8(offset++);
      value |= BigInt(byte & 127) << shift;
      if (byte < 128) return Number(value);
    }
  };
  while (offset < data.length) {
    const key = varint();
    const wire = key & 7;
    const value = wire === 0 ? varint() : 0;
    const length = wire === 0 ? 0 : wire === 1 ? 8 : wire === 5 ? 4 : varint();
    fields.push({ number: key >>> 3, varint: value, bytes: data.subarray(offset, offset + length) });
    offset += length;
  }
  return fields;
}

/** CRC-32 (ISO-HDLC, as in zip and PNG): tells whether bytes are those that were written. */

const table = Uint32Array.from({ length: 256 }, (_, byte) => {
  let value = byte;
  for (let bit = 0; bit < 8; bit++) value = value & 1 ? 0xedb8_8320 ^ (value >>> 1) : value >>> 1;
  return value;
});

/** Of the bytes that follow those whose CRC is `before`. */
export function crc32(bytes: Uint8Array, before = 0): number {
  let value = before ^ 0xffff_ffff;
  for (let index = 0; index < bytes.length; index++) {
    value = (table[(value ^ (bytes[index] as number)) & 0xff] as number) ^ (value >>> 8);
  }
  return (value ^ 0xffff_ffff) >>> 0;
}

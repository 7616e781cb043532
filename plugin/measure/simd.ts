/** simd.wat at work: where this environment has WebAssembly with 128-bit SIMD, which a page's Content-Security-Policy may forbid. */
import { simdWasm } from './simd-wasm.ts';

/** Pointers are bytes of `memory`, w is a multiple of 4; what each function does stands in simd.wat. */
export interface Simd {
  readonly memory: { readonly buffer: ArrayBuffer; grow(pages: number): void };
  powers(x: number, n: number, w: number, scale: number, out: number, fourth: 0 | 1): number;
  moments(x: number, n: number, w: number, d: number, scale: number, out: number): number;
  medians(x: number, n: number, w: number, d: number, out: number): void;
}

/** The part of the WebAssembly interface that is used; the types of Node and of browsers do not share it. */
interface WebAssemblyLike {
  Module: new (bytes: Uint8Array) => object;
  Instance: new (module: object) => { readonly exports: object };
}

/** Where the assembled code keeps nothing of its own. */
export const freeMemory = 128;
const pageBytes = 65_536;

let simd: Simd | undefined | 'none';

export function simdHere(): Simd | undefined {
  if (simd === undefined) {
    try {
      const { Module, Instance } = (globalThis as unknown as { WebAssembly: WebAssemblyLike }).WebAssembly;
      const bytes = Uint8Array.from(atob(simdWasm), (character) => character.charCodeAt(0));
      simd = new Instance(new Module(bytes)).exports as Simd;
    } catch {
      simd = 'none';
    }
  }
  return simd === 'none' ? undefined : simd;
}

/** Makes room up to `bytes`; views of the memory from before are void. */
export function reserve({ memory }: Simd, bytes: number): void {
  const missing = bytes - memory.buffer.byteLength;
  if (missing > 0) memory.grow(Math.ceil(missing / pageBytes));
}

/** The width of rows that vectors of four make up. */
export function paddedWidth(width: number): number {
  return (width + 3) & ~3;
}

/** Copies rows to where each has its padded width; what is beyond their own width stays as it is. */
export function copyRows(rows: Float32Array, width: number, to: Float32Array): void {
  const padded = paddedWidth(width);
  if (padded === width) {
    to.set(rows);
    return;
  }
  for (let from = 0, at = 0; from < rows.length; from += width, at += padded) {
    to.set(rows.subarray(from, from + width), at);
  }
}

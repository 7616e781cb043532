/**
 * Assembles plugin/measure/simd.wat into plugin/measure/simd-wasm.ts. Run it after a change of the former; the result is
 * committed, so nobody needs an assembler to build, and a test holds it against the source.
 */
import { readFileSync, writeFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import wabt from 'wabt';

const source = fileURLToPath(new URL('../plugin/measure/simd.wat', import.meta.url));
const target = fileURLToPath(new URL('../plugin/measure/simd-wasm.ts', import.meta.url));

/** The TypeScript module that holds the assembled WebAssembly. */
export async function assembleSimd(): Promise<string> {
  const parsed = (await wabt()).parseWat('simd.wat', readFileSync(source, 'utf8'), { simd: true });
  try {
    const code = Buffer.from(parsed.toBinary({}).buffer).toString('base64');
    const lines = code.match(/.{1,100}/g) ?? [];
    return [
      '/** simd.wat, assembled by scripts/build-simd.ts: change that one, not this. */',
      'export const simdWasm: string = [',
      ...lines.map((line) => `  '${line}',`),
      "].join('');",
      '',
    ].join('\n');
  } finally {
    parsed.destroy();
  }
}

if (process.argv[1] === fileURLToPath(import.meta.url)) writeFileSync(target, await assembleSimd());

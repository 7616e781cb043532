/**
 * The marker of a finished build. It is written last, after the build was loaded and multiplied, and it lists the sizes
 * of the files that matter: a build without it, or one that lost or shortened a file since, is not a build.
 */
import { readFileSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { z } from 'zod';
import { NODE_API_VERSION, packageIn } from './cache.ts';

const MARKER = 'outlierscope-native.json';

const markerSchema = z.strictObject({
  format: z.literal(1),
  /** What the loaded library said of itself. */
  tensorflow: z.string(),
  builtAt: z.string(),
  builtWithNode: z.string(),
  /** Bytes by path, relative to the build. */
  files: z.record(z.string(), z.number()),
});

export type Marker = z.infer<typeof markerSchema>;

/** The files without which nothing loads, relative to tfjs-node. */
export const NATIVE_FILES: readonly string[] = [
  'dist/index.js',
  `lib/napi-v${NODE_API_VERSION}/tfjs_binding.node`,
  'deps/lib/libtensorflow_cc.so.2',
  'deps/lib/libtensorflow_framework.so.2',
];

export function writeMarker(build: string, tensorflow: string): void {
  const files = Object.fromEntries(NATIVE_FILES.map((file) => [file, statSync(join(packageIn(build), file)).size]));
  const marker: Marker = {
    format: 1,
    tensorflow,
    builtAt: new Date().toISOString(),
    builtWithNode: process.version,
    files,
  };
  writeFileSync(join(build, MARKER), `${JSON.stringify(marker, null, 2)}\n`);
}

/** The marker of a build that is still as it was when it passed its check; otherwise undefined. */
export function readMarker(build: string): Marker | undefined {
  try {
    const marker = markerSchema.parse(JSON.parse(readFileSync(join(build, MARKER), 'utf8')));
    const whole = NATIVE_FILES.every((file) => statSync(join(packageIn(build), file)).size === marker.files[file]);
    return whole ? marker : undefined;
  } catch {
    // Missing, unreadable or of another format: to be built again.
    return undefined;
  }
}

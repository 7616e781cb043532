/** Bundles the live page for the server to hand out: one script, one style sheet, the document and its icon. */
import { copyFile, mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { build } from 'esbuild';

const source = fileURLToPath(new URL('../server/page/', import.meta.url));

/** Writes page.js, page.css (each with a source map), index.html and favicon.svg into a folder. */
export async function buildPage(outputFolder: string): Promise<void> {
  await mkdir(outputFolder, { recursive: true });
  await Promise.all([
    build({
      entryPoints: [
        { in: join(source, 'main.ts'), out: 'page' },
        { in: join(source, 'style.css'), out: 'page' },
      ],
      outdir: outputFolder,
      bundle: true,
      minify: true,
      sourcemap: true,
      format: 'esm',
      // Browsers of early 2023 on; the style sheet nests and queries containers, which esbuild does not lower.
      target: ['chrome112', 'firefox117', 'safari16.5'],
      logLevel: 'warning',
    }),
    ...['index.html', 'favicon.svg'].map((name) => copyFile(join(source, name), join(outputFolder, name))),
  ]);
}

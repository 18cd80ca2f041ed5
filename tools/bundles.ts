// The package's entries as a page would load them: bundled and minified, from the source.
import { readFileSync } from 'node:fs';
import { gzipSync } from 'node:zlib';
import { build } from 'esbuild';

/** The page with the table of sizes. */
export const page = 'docs/entry-points.md';

const { name, exports } = JSON.parse(readFileSync('package.json', 'utf8')) as {
  name: string;
  exports: Record<string, unknown>;
};

/** What programs import: `headlight-vlm`, `headlight-vlm/sav` and so on. */
export const entries = Object.keys(exports)
  .filter((path) => path !== './package.json')
  .map((path) => name + path.slice(1));

export interface Bundle {
  /** Bytes, compressed. */
  readonly gzip: number;
  /** The files that are in it. */
  readonly files: readonly string[];
}

/** Bundles all that an entry exports for browsers. */
export async function bundle(entry: string): Promise<Bundle> {
  const { outputFiles, metafile } = await build({
    stdin: { contents: `export * from '${entry}'`, resolveDir: '.' },
    bundle: true,
    minify: true,
    format: 'esm',
    platform: 'browser', // resolves the condition `browser`
    conditions: ['headlight-source'],
    metafile: true,
    write: false,
    logLevel: 'silent', // what is wrong is thrown
  });
  const [output] = Object.values(metafile.outputs);
  return {
    gzip: gzipSync(outputFiles[0].contents, { level: 9 }).length,
    files: Object.keys(output.inputs).filter((file) => output.inputs[file].bytesInOutput > 0),
  };
}

/** The row of the table that is about an entry: what is before its size, and the size in kB. */
export const rowOf = (entry: string): RegExp => new RegExp(`^(\\| \`${entry}\` \\|.*\\| )([\\d.]+) kB \\|$`, 'm');

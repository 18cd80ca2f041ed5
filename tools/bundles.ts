// The package's entries as a page would load them: bundled and minified, from the source.
import { readFileSync } from 'node:fs';
import { gzipSync } from 'node:zlib';
import { build, type Metafile } from 'esbuild';

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
  /** Bytes that are loaded with the entry, compressed: its file, and those that it imports statically. */
  readonly first: number;
  /** Bytes of the files that are loaded when something asks for them (`import()`), compressed. */
  readonly later: number;
  /** The source files that are in any of them. */
  readonly files: readonly string[];
}

/** Bundles all that an entry exports for browsers, in a file for each part that is loaded by itself. */
export async function bundle(entry: string): Promise<Bundle> {
  const { outputFiles, metafile } = await build({
    stdin: { contents: `export * from '${entry}'`, resolveDir: '.' },
    bundle: true,
    splitting: true,
    minify: true,
    format: 'esm',
    platform: 'browser', // resolves the condition `browser`
    conditions: ['headlight-source'],
    absWorkingDir: process.cwd(),
    outdir: '.', // nothing is written: paths of the metafile and of the files are to be the same
    metafile: true,
    write: false,
    logLevel: 'silent', // what is wrong is thrown
  });
  const gzip = new Map(
    outputFiles.map(({ path, contents }) => [
      path.slice(process.cwd().length + 1),
      gzipSync(contents, { level: 9 }).length,
    ]),
  );
  const sum = (paths: Iterable<string>) => [...paths].reduce((bytes, path) => bytes + gzip.get(path)!, 0);
  const { outputs } = metafile;
  const first = sum(reached(outputs, ['import-statement']));
  const all = reached(outputs, ['import-statement', 'dynamic-import']);
  return {
    first,
    later: sum(all) - first,
    files: [...all].flatMap((path) =>
      Object.entries(outputs[path].inputs).flatMap(([file, { bytesInOutput }]) => (bytesInOutput > 0 ? file : [])),
    ),
  };
}

/** The entry's file and those that lead on from it by such imports. (esbuild also writes some that nothing imports any more.) */
function reached(outputs: Metafile['outputs'], kinds: readonly string[]): Set<string> {
  const found = new Set(['stdin.js']);
  for (const file of found)
    for (const { path, kind } of outputs[file].imports) if (kinds.includes(kind)) found.add(path);
  return found;
}

/** The row of the table that is about an entry: what is before its sizes, and the two in kB. */
export const rowOf = (entry: string): RegExp =>
  new RegExp(`^(\\| \`${entry}\` \\|.*\\| )([\\d.]+) kB \\| ([\\d.]+) kB \\|$`, 'm');

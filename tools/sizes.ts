// Rewrites the sizes in docs/entry-points.md: npm run sizes
import { readFileSync, writeFileSync } from 'node:fs';
import { bundle, entries, page, rowOf } from './bundles.ts';

const kB = (bytes: number) => `${(bytes / 1000).toFixed(1)} kB`;

let text = readFileSync(page, 'utf8');
for (const entry of entries) {
  const { first, later } = await bundle(entry);
  text = text.replace(rowOf(entry), `$1${kB(first)} | ${kB(later)} |`);
}
writeFileSync(page, text);

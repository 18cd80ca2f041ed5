// Rewrites the sizes in docs/entry-points.md: npm run sizes
import { readFileSync, writeFileSync } from 'node:fs';
import { bundle, entries, page, rowOf } from './bundles.ts';

let text = readFileSync(page, 'utf8');
for (const entry of entries) {
  const { gzip } = await bundle(entry);
  text = text.replace(rowOf(entry), `$1${(gzip / 1000).toFixed(1)} kB |`);
}
writeFileSync(page, text);

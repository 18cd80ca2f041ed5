// What a page loads with each entry of the package: its size, and nothing that the entry is not about.
import { readFileSync } from 'node:fs';
import { beforeAll, describe, expect, it } from 'vitest';
import { type Bundle, bundle, entries, page, rowOf } from '../tools/bundles.ts';

/** Other entries' rooms and packages that must not be within an entry. */
const foreign: Readonly<Record<string, RegExp>> = {
  'headlight-vlm': /node_modules\/(vega|d3-)|src\/(analysis|charts|sav|tuning|hub|cli)\//,
  'headlight-vlm/analysis':
    /node_modules\/(vega|d3-|valibot|@huggingface)|src\/(charts|sav|hub|cli|checkpoint|platform)\//,
  'headlight-vlm/charts': /node_modules\/(valibot|@huggingface)|src\/(hub|cli|gpu|kernels)\//,
  'headlight-vlm/tuning': /node_modules\/(vega|d3-)|src\/(analysis|charts|sav|hub|cli)\//,
  'headlight-vlm/verify': /node_modules\/(vega|d3-|@huggingface)|src\/(analysis|charts|sav|tuning|model|hub|cli)\//,
  'headlight-vlm/sav': /node_modules\/(vega|d3-|@huggingface)|src\/(analysis|charts|hub|cli|gpu|kernels)\//,
};
const tolerance = 0.02;

describe.each(entries)('%s, bundled for browsers', (entry) => {
  let found: Bundle;
  beforeAll(async () => {
    found = await bundle(entry);
  });

  it('holds nothing of other entries, and nothing of Node', () => {
    expect(found.files.length).toBeGreaterThan(5);
    expect(found.files.filter((file) => foreign[entry].test(file))).toEqual([]);
    expect(
      found.files.filter((file) => /node_modules\/(sharp|webgpu|tar-fs)\/|src\/platform\/node/.test(file)),
    ).toEqual([]);
  });

  it(`is as large as ${page} says, at first and later; npm run sizes rewrites it`, () => {
    const [, , first, later] = rowOf(entry).exec(readFileSync(page, 'utf8'))!;
    for (const [said, bytes] of [
      [Number(first), found.first],
      [Number(later), found.later],
    ])
      expect(Math.abs(said - bytes / 1000), `${said} kB there, ${bytes} bytes found`).toBeLessThanOrEqual(
        tolerance * said,
      );
  });
});

import { expect, it } from 'vitest';
import { globMatcher } from '../../src/base/glob.ts';

it.each([
  ['blocks.3.attn.z', 'blocks.3.attn.z', true],
  ['blocks.3.attn.z', 'blocks.3.attn.zz', false],
  ['', '', true],
  ['', 'a', false],
  ['*', 'a', true],
  ['**', '', true],
  ['a*', 'ba', false],
  ['*a', 'ba', true],
  ['a*a', 'a', false],
  ['a*a', 'aa', true],
  ['ab*ba', 'aba', false],
  ['*.attn.*', 'blocks.0.attn.hook_z', true],
  ['blocks.*.hook_*', 'blocks.0.attn.hook_z', true],
  ['*a*b*', 'ba', false],
  ['blocks.?', 'blocks.1', false],
  ['a.b', 'axb', false],
])('%s and %s: %s', (glob, name, means) => {
  expect(globMatcher(glob)(name)).toBe(means);
});

it('takes no time for globs that are made to take it', () => {
  const start = performance.now();
  expect(globMatcher(`${'*a'.repeat(5_000)}b`)('a'.repeat(20_000))).toBe(false);
  expect(globMatcher(`${'*'.repeat(100_000)}b`)('a'.repeat(40))).toBe(false);
  expect(performance.now() - start).toBeLessThan(1_000);
});

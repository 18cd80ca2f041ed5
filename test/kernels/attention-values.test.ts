import { expect, it } from 'vitest';
import { attentionValues } from '../../src/kernels/attention-values/attention-values.ts';
import { useGpu } from '../gpu.ts';
import { attentionCase, referenceAttention, referencePattern, referenceScores } from './attention-reference.ts';
import { guarded, nmse, random, readGuarded } from './check.ts';

const gpu = useGpu();

it.each([
  { queries: 1, headSize: 1 },
  { queries: 7, headSize: 6, keys: 11, causal: true },
  { queries: 5, headSize: 24, heads: 4, kvHeads: 2, causal: true },
  { queries: 3, headSize: 16, heads: 6, kvHeads: 1, batch: 3, keys: 9, keyRows: 13 },
  { queries: 33, headSize: 20, causal: true, batch: 2 },
])('attentionValues %j', async (sizes) => {
  const c = attentionCase(sizes);
  const q = random(c.batch * c.queries * c.heads * c.headSize, 1);
  const k = random(c.batch * c.keyRows * c.kvHeads * c.headSize, 2);
  const v = random(k.length, 3);
  const pattern = referencePattern(referenceScores(c, q, k), c.keys);
  const rec = gpu().record('values', { bindToEnd: true });
  const out = guarded(gpu(), 'z', 'f32', [c.batch * c.queries, c.heads, c.headSize]);
  const matrix = [c.batch * c.heads, c.queries, c.keys];
  attentionValues(rec, {
    pattern: rec.input('pattern', 'f32', matrix, Float32Array.from(pattern)),
    v: rec.input('v', 'f32', [c.batch * c.keyRows, c.kvHeads, c.headSize], v),
    heads: c.heads,
    batch: c.batch,
    label: 'z',
    out,
  });
  expect(nmse(await readGuarded(rec, out), referenceAttention(c, q, k, v))).toBeLessThan(1e-12);
  gpu().destroy(out);
});

it('refuses values of fewer rows than the pattern has keys', () => {
  const rec = gpu().record('wrong');
  const pattern = rec.temp('pattern', 'f32', [2, 3, 5]);
  const v = rec.temp('v', 'f32', [4, 1, 8]);
  expect(() => attentionValues(rec, { pattern, v, heads: 2, label: 'z' })).toThrow(
    'v [4,1,8] does not fit pattern [2,3,5]',
  );
});

import { attentionCase, blocks, type Case } from '../attention/reference.ts';

const small = { heads: 2, kvHeads: 1, headSize: 16 };
const causal = { ...small, causal: true };

export const attentionProblems = (): readonly (readonly [name: string, Case])[] => [
  ['full, 1 query of 1 key', attentionCase({ ...small, queries: 1 })],
  ['full, 37 queries', attentionCase({ ...small, queries: 37 })],
  ['full, 37 queries of 5 keys', attentionCase({ ...small, queries: 37, keys: 5 })],
  ['full, batch 3, head size 8', attentionCase({ queries: 18, batch: 3, heads: 3, headSize: 8 })],
  ['causal, 33 queries', attentionCase({ ...causal, queries: 33 })],
  ['causal, 65 queries', attentionCase({ ...causal, queries: 65 })],
  ['causal, 6 heads on 2', attentionCase({ queries: 21, heads: 6, kvHeads: 2, headSize: 24, causal: true })],
  ['causal, head size 5', attentionCase({ queries: 9, keys: 19, headSize: 5, causal: true })],
  ['causal, head size 80', attentionCase({ queries: 9, headSize: 80, causal: true })],
  ['causal, head size 131', attentionCase({ queries: 5, headSize: 131, causal: true })],
  [
    'causal, next token, 131 of 140 rows, 7 heads on 1',
    attentionCase({ queries: 1, keys: 131, keyRows: 140, heads: 7, kvHeads: 1, headSize: 16, causal: true }),
  ],
  [
    'causal, batch 2, 4 heads on 2, unfilled rows',
    attentionCase({ batch: 2, queries: 35, keyRows: 40, heads: 4, kvHeads: 2, headSize: 16, causal: true }),
  ],
  ['causal, queries in the middle', attentionCase({ ...causal, queries: 13, keys: 40, offset: 5 })],
  ['causal, the first query sees one key', attentionCase({ ...causal, queries: 40, keys: 70, offset: 0 })],
  ['window of 1', attentionCase({ ...causal, queries: 20, window: 1 })],
  ['window of 17, 67 queries', attentionCase({ ...causal, queries: 67, window: 17 })],
  ['window of 40, cached', attentionCase({ ...causal, queries: 5, keys: 177, keyRows: 190, window: 40 })],
  [
    'segments of 1, 17, 9 and 16',
    attentionCase({ ...small, queries: 43, keyRows: 50, segments: blocks(1, 17, 9, 16) }),
  ],
  [
    'segments of 20 and 30, 6 heads on 3',
    attentionCase({ queries: 50, heads: 6, kvHeads: 3, headSize: 24, segments: blocks(20, 30) }),
  ],
];

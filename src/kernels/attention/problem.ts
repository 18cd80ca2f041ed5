import { matrixShape } from '../../gpu/formats/format.ts';
import { formats } from '../../gpu/formats/index.ts';
import type { AttentionMask } from '../custom/kernels.ts';
import { byRow, type Problem, placeOf } from '../problem.ts';
import { type MakeTensor, pseudoRandom } from '../pseudo-random.ts';
import { type AttentionVariant, attention } from './attention.ts';
import type { AttentionCandidate } from './candidates.ts';
import { attentionCase, attentionRow, blocks, type Case } from './reference.ts';

/** Queries, keys and values of a case. With scores of a standard deviation of 4 the softmax is neither flat nor one key. */
export function attentionData(c: Case, deviation = 4) {
  const { batch, queries, heads, kvHeads, headSize, keyRows, scale } = c;
  const stretch = (3 * deviation) / (headSize ** 0.5 * scale);
  const stored = (seed: number) => asStored(c, pseudoRandom(batch * keyRows * kvHeads * headSize, seed)).numbers;
  return {
    q: pseudoRandom(batch * queries * heads * headSize, 1).map((x) => x * stretch),
    k: stored(2),
    v: stored(3),
  };
}

/** Keys or values of a case in their format. */
function asStored(c: Case, values: Float32Array<ArrayBuffer>) {
  const dtype: 'f32' | 'f16' = c.stored ?? 'f32';
  const shape = [c.batch * c.keyRows, c.kvHeads, c.headSize];
  const [data] = formats[dtype].pack(values, matrixShape(shape));
  return { dtype, shape, data, numbers: Float32Array.from(formats[dtype].unpack([data], matrixShape(shape))) };
}

/** The tensor of such. */
export function storedTensor(make: MakeTensor, c: Case, label: string, values: Float32Array<ArrayBuffer>) {
  const { dtype, shape, data } = asStored(c, values);
  return make(label, dtype, shape, data);
}

/** The arguments that attention and its scores have in common. */
export function queryKeyArgs(make: MakeTensor, c: Case, { q, k }: Pick<ReturnType<typeof attentionData>, 'q' | 'k'>) {
  const { batch, queries, heads, headSize, keys, causal, offset, window, segments, scale } = c;
  return {
    q: make('q', 'f32', [batch * queries, heads, headSize], q),
    k: storedTensor(make, c, 'k', k),
    keys,
    batch,
    causal,
    offset: causal ? offset : undefined,
    window,
    segments: segments && make('segments', 'u32', [queries, 2], Uint32Array.from(segments.flat())),
    pairs: segments?.reduce((sum, [start, end]) => sum + end - start, 0),
    scale,
    label: 'y',
  };
}

const maskOf = ({ segments, window, causal }: Case): AttentionMask =>
  segments ? 'segments' : window ? 'window' : causal ? 'causal' : 'full';

export function attentionProblem(
  name: string,
  c: Case,
  data = attentionData(c),
): Problem<AttentionVariant | AttentionCandidate> {
  const { batch, queries, heads, headSize } = c;
  return {
    name,
    mask: maskOf(c),
    shape: [batch * queries, heads, headSize],
    prepare(make) {
      const args = queryKeyArgs(make, c, data);
      const v = storedTensor(make, c, 'v', data.v);
      return (rec, options) => attention(rec, { ...args, v, ...options });
    },
    expected(reference) {
      const row = (r: number) => {
        const [token, head] = placeOf(r, heads);
        return attentionRow(c, data, [...placeOf(token, queries), head], reference);
      };
      const rows = batch * queries * heads;
      return {
        at: byRow(headSize, (r) => row(r).z),
        extra: (name) =>
          reference?.extras?.[name] && Array.from({ length: rows }, (_, r) => row(r).extras[name]).flat(),
      };
    },
  };
}

const small = { heads: 2, kvHeads: 1, headSize: 16 };
const causal = { ...small, causal: true };
const ofSeven = { heads: 7, kvHeads: 1, headSize: 16, causal: true };

export const attentionCases = (): readonly (readonly [name: string, Case])[] => [
  ['full, 1 query of 1 key', attentionCase({ ...small, queries: 1 })],
  ['full, 37 queries', attentionCase({ ...small, queries: 37 })],
  ['full, 37 queries of 5 keys', attentionCase({ ...small, queries: 37, keys: 5 })],
  ['full, batch 3, head size 8', attentionCase({ queries: 18, batch: 3, heads: 3, headSize: 8 })],
  ['causal, 33 queries', attentionCase({ ...causal, queries: 33 })],
  ['causal, 65 queries', attentionCase({ ...causal, queries: 65 })],
  ['causal, 6 heads on 2', attentionCase({ queries: 21, heads: 6, kvHeads: 2, headSize: 24, causal: true })],
  ['causal, head size 5', attentionCase({ queries: 9, keys: 19, headSize: 5, causal: true })],
  ['causal, head size 80', attentionCase({ queries: 9, headSize: 80, causal: true })],
  ['causal, head size 131, 77 keys', attentionCase({ queries: 5, keys: 77, headSize: 131, causal: true })],
  [
    'causal, next token, 131 of 140 rows, 7 heads on 1',
    attentionCase({ ...ofSeven, queries: 1, keys: 131, keyRows: 140 }),
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
  [
    'causal, next token, 131 of 140 rows in f16, 7 heads on 1',
    attentionCase({ ...ofSeven, queries: 1, keys: 131, keyRows: 140, stored: 'f16' }),
  ],
  [
    'window of 40, batch 2, 77 of 80 rows in f16',
    attentionCase({ ...ofSeven, batch: 2, queries: 6, keys: 77, keyRows: 80, window: 40, stored: 'f16' }),
  ],
];

export const attentionProblems = () => attentionCases().map(([name, c]) => attentionProblem(name, c));

/** Attention in float64: what the kernels are compared with, ours in the tests and custom ones in `checkKernels`. */

export interface Case {
  batch: number;
  queries: number;
  heads: number;
  kvHeads: number;
  headSize: number;
  keys: number;
  /** Rows of a sequence in k and v. */
  keyRows: number;
  causal: boolean;
  offset: number;
  /** With causal: the last so many keys. */
  window?: number;
  /** Without: for each query its first key and the one after its last. */
  segments?: [start: number, end: number][];
  scale: number;
  /** How k and v are stored. Default f32. */
  stored?: 'f16';
}

/** What tables of benchmarks say of a case. */
export type AttentionSizes = Readonly<Pick<Case, 'queries' | 'keys' | 'heads' | 'kvHeads' | 'headSize' | 'causal'>>;

/** A case from the sizes that matter to a test; keys default to queries, positions to the last ones. */
export function attentionCase(sizes: Partial<Case> & Pick<Case, 'queries' | 'headSize'>): Case {
  const { queries, headSize, keys = queries, heads = 2 } = sizes;
  return {
    batch: 1,
    heads,
    kvHeads: heads,
    keys,
    keyRows: keys,
    causal: false,
    offset: keys - queries,
    scale: headSize ** -0.5,
    ...sizes,
  };
}

/** The segment of each query, for segments of these lengths that follow each other. */
export const blocks = (...lengths: number[]): [start: number, end: number][] =>
  lengths.flatMap((length, n) => {
    const start = lengths.slice(0, n).reduce((a, b) => a + b, 0);
    return Array.from({ length }, (): [number, number] => [start, start + length]);
  });

type Visibility = Pick<Case, 'causal' | 'offset' | 'window' | 'segments'>;

/** Whether query i sees key j. */
export function sees(
  { causal, offset, window = Number.POSITIVE_INFINITY, segments }: Visibility,
  i: number,
  j: number,
) {
  if (segments) return j >= segments[i][0] && j < segments[i][1];
  return !causal || (j <= offset + i && j > offset + i - window);
}

/** One query of one head, and the keys that the mask leaves it. */
export interface AttentionRow {
  /** Of all query heads, from 0. */
  readonly head: number;
  /** Of its sequence’s queries in this run, from 0. */
  readonly query: number;
  /** Where the query stands in its sequence. */
  readonly position: number;
  /** The keys that it sees, ascending, and q·k·scale of each. */
  readonly keys: readonly number[];
  readonly scores: Float64Array;
}

/** What a custom kernel computes in each row, where that is another thing than ours. */
export interface AttentionReference {
  /** What each key weighs; z is the sum of the values by weight. Default: softmax of the scores. */
  readonly weights?: (row: AttentionRow) => ArrayLike<number>;
  /** The elements of each extra: all heads' in order are the query's. */
  readonly extras?: Readonly<Record<string, (row: AttentionRow, weights: ArrayLike<number>) => readonly number[]>>;
}

/** exp(score) of each, over their sum. */
export function softmax(scores: Float64Array): Float64Array {
  const peak = scores.reduce((a, b) => Math.max(a, b));
  const powers = scores.map((score) => Math.exp(score - peak));
  const total = powers.reduce((a, b) => a + b);
  return powers.map((power) => power / total);
}

/** z [headSize] of one query of one head of one sequence, and the elements of its extras. */
export function attentionRow(
  c: Case,
  { q, k, v }: Record<'q' | 'k' | 'v', Float32Array>,
  [sequence, query, head]: readonly [number, number, number],
  { weights = ({ scores }) => softmax(scores), extras = {} }: AttentionReference = {},
): { z: Float64Array; extras: Record<string, readonly number[]> } {
  const kvHead = Math.floor(head / (c.heads / c.kvHeads));
  const at = (key: number) => ((sequence * c.keyRows + key) * c.kvHeads + kvHead) * c.headSize;
  const qAt = ((sequence * c.queries + query) * c.heads + head) * c.headSize;
  const keys: number[] = [];
  for (let j = 0; j < c.keys; j++) if (sees(c, query, j)) keys.push(j);
  const scores = Float64Array.from(keys, (key) => {
    let sum = 0;
    for (let d = 0; d < c.headSize; d++) sum += q[qAt + d] * k[at(key) + d];
    return sum * c.scale;
  });
  const row = { head, query, position: c.offset + query, keys, scores };
  const given = weights(row);
  const z = new Float64Array(c.headSize);
  for (const [n, key] of keys.entries()) for (let d = 0; d < c.headSize; d++) z[d] += given[n] * v[at(key) + d];
  return { z, extras: Object.fromEntries(Object.entries(extras).map(([name, of]) => [name, of(row, given)])) };
}

/** float64 references of attention, for the tests of its kernels. */

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
}

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

/** Whether query i sees key j. */
export function sees({ causal, offset, window = Number.POSITIVE_INFINITY, segments }: Case, i: number, j: number) {
  if (segments) return j >= segments[i][0] && j < segments[i][1];
  return !causal || (j <= offset + i && j > offset + i - window);
}

/** q·kᵀ·scale, [batch * heads, queries, keys]; masked entries -Infinity. */
export function referenceScores(c: Case, q: Float32Array, k: Float32Array): Float64Array {
  const scores = new Float64Array(c.batch * c.heads * c.queries * c.keys).fill(Number.NEGATIVE_INFINITY);
  let at = 0;
  for (let b = 0; b < c.batch; b++)
    for (let h = 0; h < c.heads; h++) {
      const kvHead = Math.floor(h / (c.heads / c.kvHeads));
      for (let i = 0; i < c.queries; i++)
        for (let j = 0; j < c.keys; j++, at++) {
          if (!sees(c, i, j)) continue;
          const qAt = ((b * c.queries + i) * c.heads + h) * c.headSize;
          const kAt = ((b * c.keyRows + j) * c.kvHeads + kvHead) * c.headSize;
          let sum = 0;
          for (let d = 0; d < c.headSize; d++) sum += q[qAt + d] * k[kAt + d];
          scores[at] = sum * c.scale;
        }
    }
  return scores;
}

/** The softmax of each row of `keys` scores. */
export function referencePattern(scores: Float64Array, keys: number): Float64Array {
  const pattern = new Float64Array(scores.length);
  for (let row = 0; row < scores.length; row += keys) {
    const peak = scores.subarray(row, row + keys).reduce((a, b) => Math.max(a, b));
    let total = 0;
    for (let j = row; j < row + keys; j++) total += pattern[j] = Math.exp(scores[j] - peak);
    for (let j = row; j < row + keys; j++) pattern[j] /= total;
  }
  return pattern;
}

/** z, [batch * queries, heads, headSize]. */
export function referenceAttention(c: Case, q: Float32Array, k: Float32Array, v: Float32Array): Float64Array {
  const pattern = referencePattern(referenceScores(c, q, k), c.keys);
  const z = new Float64Array(c.batch * c.queries * c.heads * c.headSize);
  let row = 0;
  for (let b = 0; b < c.batch; b++)
    for (let h = 0; h < c.heads; h++) {
      const kvHead = Math.floor(h / (c.heads / c.kvHeads));
      for (let i = 0; i < c.queries; i++, row += c.keys) {
        const zAt = ((b * c.queries + i) * c.heads + h) * c.headSize;
        for (let j = 0; j < c.keys; j++) {
          const vAt = ((b * c.keyRows + j) * c.kvHeads + kvHead) * c.headSize;
          for (let d = 0; d < c.headSize; d++) z[zAt + d] += pattern[row + j] * v[vAt + d];
        }
      }
    }
  return z;
}

/** float64 references of attention as matrices, for the tests of its materialising kernels. */
import { type Case, referenceOutputs, sees } from '../../src/kernels/attention/reference.ts';

export { attentionCase, blocks, type Case, sees } from '../../src/kernels/attention/reference.ts';

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
export const referenceAttention = (c: Case, q: Float32Array, k: Float32Array, v: Float32Array): Float64Array =>
  referenceOutputs(c, { q, k, v }).z;

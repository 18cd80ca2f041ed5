import { type Cost, type Recorder, read, readWrite } from '../../gpu/recorder.ts';
import { elementCount, expectDType, expectShape, type Tensor } from '../../gpu/tensor.ts';
import {
  attentionParams,
  type Geometry,
  geometry,
  keysRead,
  type QueryKeyArgs,
  sizesOf,
  visiblePairs,
} from '../attention/shapes.ts';
import { convertTensor } from '../convert/convert.ts';
import { foldWorkgroups } from '../vectors.ts';
import {
  attentionPatternWgsl,
  attentionScoresWgsl,
  patternContract,
  patternRowsPerWorkgroup,
  scoresContract,
} from './attention-pattern.wgsl.ts';

/**
 * q·kᵀ·scale, before softmax: hook_attn_scores.
 *
 * Masked entries hold the most negative finite float, -3.4028235e38: that is what HF's eager attention holds there (it adds
 * `finfo.min`), arithmetic on a saved file stays free of NaN, and WGSL does not promise to carry an infinity.
 * @returns [batch * H, T, keys] f32
 * @throws ShapeError
 */
export function attentionScores(rec: Recorder, args: QueryKeyArgs & { out?: Tensor }): Tensor {
  const { q, segments, label } = args;
  const where = 'attentionScores';
  const k = convertTensor(rec, args.k, 'f32');
  const g = geometry(where, { ...args, k });
  const shape = [g.batch * g.heads, g.queries, g.keys];
  const scores = args.out ?? rec.temp(label, 'f32', shape);
  expectDType(where, scores, 'f32');
  expectShape(where, scores, shape);
  rec.dispatch({
    kernel: where,
    label,
    code: attentionScoresWgsl(g),
    bindings: [read(q), read(k), readWrite(scores), ...(segments ? [read(segments)] : [])],
    params: attentionParams(g, args.scale),
    workgroups: [Math.ceil(g.keys / 8), Math.ceil(g.queries / 8), g.batch * g.heads],
    cost: scoresCost(g),
    header: () => scoresContract(g),
    sizes: sizesOf(g),
  });
  return scores;
}

function scoresCost(g: Geometry): Cost {
  const { batch, queries, heads, kvHeads, headSize, keys } = g;
  return {
    flops: 2 * batch * heads * headSize * visiblePairs(g),
    bytes: 4 * batch * (headSize * (queries * heads + keysRead(g) * kvHeads) + heads * queries * keys),
  };
}

/**
 * The softmax of each row of `attentionScores`: hook_pattern. Masked entries are 0.
 * @returns the shape of `scores`, [batch * H, T, keys] f32
 * @throws ShapeError
 */
export function attentionPattern(rec: Recorder, args: { scores: Tensor; label: string; out?: Tensor }): Tensor {
  const { scores, label } = args;
  const where = 'attentionPattern';
  expectDType(where, scores, 'f32');
  expectShape(where, scores, [-1, -1, -1]);
  const [matrices, queries, keys] = scores.shape;
  const pattern = args.out ?? rec.temp(label, 'f32', scores.shape);
  expectDType(where, pattern, 'f32');
  expectShape(where, pattern, scores.shape);
  rec.dispatch({
    kernel: where,
    label,
    code: attentionPatternWgsl,
    bindings: [read(scores), readWrite(pattern)],
    params: [keys, matrices * queries],
    workgroups: foldWorkgroups(
      Math.ceil((matrices * queries) / patternRowsPerWorkgroup),
      rec.gpu.capabilities.maxWorkgroupsPerDimension,
    ),
    cost: patternCost(scores.shape),
    header: () => patternContract,
    sizes: { rows: matrices * queries, keys },
  });
  return pattern;
}

/** Maximum, difference, sum and division of each entry; the exponential is not counted. */
const patternCost = (shape: readonly number[]): Cost => ({
  flops: 4 * elementCount(shape),
  bytes: 8 * elementCount(shape),
});

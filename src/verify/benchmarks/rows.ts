import { f16 } from '../../gpu/formats/f16.ts';
import { argmaxProblem } from '../../kernels/argmax/problem.ts';
import { attentionCase } from '../../kernels/attention/reference.ts';
import { attentionPatternProblem, attentionScoresProblem } from '../../kernels/attention-pattern/problem.ts';
import { attentionValuesProblem } from '../../kernels/attention-values/problem.ts';
import { editProblem } from '../../kernels/edit/problem.ts';
import {
  activationProblem,
  addProblem,
  concatColumnsProblem,
  gatedActivationProblem,
  gatherRowsProblem,
} from '../../kernels/elementwise/problem.ts';
import { embeddingProblem } from '../../kernels/embedding/problem.ts';
import { type HeadResultSizes, headResultProblem, headSumProblem } from '../../kernels/head-result/problem.ts';
import { mixRowsProblem } from '../../kernels/mix-rows/problem.ts';
import { chooseNorm } from '../../kernels/norm/norm.ts';
import { type NormSizes, normProblem, normScaleProblem } from '../../kernels/norm/problem.ts';
import { patchifyProblem } from '../../kernels/patchify/problem.ts';
import type { Problem } from '../../kernels/problem.ts';
import { copyRowsProblem, rotaryProblem, rotateAndAppendProblem } from '../../kernels/rotary/problem.ts';
import { spliceProblem } from '../../kernels/splice/problem.ts';
import { visionEmbeddingProblem } from '../../kernels/vision-embedding/problem.ts';
import { type BenchmarkGroup, type FromProblem, groupOf } from './group.ts';

/**
 * Kernels around the matrix products and attention: bound by memory on a GPU. Sizes of the embedded checkpoint, then of
 * LLaVA-1.5-7B.
 */
export const rowBenchmarks: BenchmarkGroup[] = [
  norm('layerNorm', [60, 128]),
  norm('layerNorm', [577, 1024]),
  norm('rmsNorm', [60, 128]),
  norm('rmsNorm', [1, 4096]),
  norm('rmsNorm', [640, 4096]),
  group('normScale', 'rms [60,128]', 60 * 128, () => normScaleProblem('rms', [60, 128])),
  group('normScale', 'rms [640,4096]', 640 * 4096, () => normScaleProblem('rms', [640, 4096])),
  group('add', '[60,128]', 60 * 128, () => addProblem([60, 128])),
  group('add', '[640,4096]', 640 * 4096, () => addProblem([640, 4096])),
  group('activation', 'quick_gelu [577,4096]', 577 * 4096, () => activationProblem('quick_gelu', [577, 4096])),
  group('gatedActivation', 'silu [60,352]', 60 * 352, () => gatedActivationProblem('silu', [60, 352])),
  group('gatedActivation', 'silu [640,11008]', 640 * 11008, () => gatedActivationProblem('silu', [640, 11008])),
  group('rotary', '[80,8,16]', 80 * 128, () => rotaryProblem([80, 8, 16])),
  group('rotary', '[640,32,128]', 640 * 4096, () => rotaryProblem([640, 32, 128])),
  group('copyRows', '[640,32,128]', 640 * 4096, () =>
    copyRowsProblem([640, 32, 128], { batch: 1, capacity: 640, outRow: 0 }),
  ),
  group('rotateAndAppend', '[1,32+2*32,128], f16 keys', 96 * 128, () =>
    rotateAndAppendProblem([1, 32, 32, 128], { dtype: 'f16', batch: 1, capacity: 1, outRow: 0 }, 'keys'),
  ),
  group('embedding', '80 of [762,128] f16', 80 * 128, () => embeddingProblem([80, 762, 128, 1], f16)),
  group('embedding', '640 of [2048,4096] f16', 640 * 4096, () => embeddingProblem([640, 2048, 4096, 2], f16)),
  group('argmax', '[1,762]', 762, () => argmaxProblem(1, 762)),
  group('argmax', '[1,32064]', 32064, () => argmaxProblem(1, 32064)),
  group('gatherRows', '600 of [640,4096]', 600 * 4096, () => gatherRowsProblem(640, 600, 4096)),
  group('concatColumns', '577 rows of 1024 + 1024', 577 * 2048, () => concatColumnsProblem(577, [1024, 1024])),
  group('splice', '640 tokens, [576,4096] features', 640 * 4096, () =>
    spliceProblem({ tokens: 640, features: 576, columns: 4096 }),
  ),
  group('mixRows', '196 mixtures of [729,1152]', 8 * 196 * 1152, () => mixRowsProblem(729, 196, 1152)),
  group('edit', '[640,32,128] x 1 + a vector', 640 * 4096, () =>
    editProblem({ rows: 640, parts: 32, unit: 128, scale: 1, values: 1 }),
  ),
  group('patchify', '[1,3,336,336] into squares of 14', 3 * 336 ** 2, () => patchifyProblem([1, 3, 336, 336], 14)),
  group('visionEmbedding', '1 x 576 patches, 1024 wide, class token', 577 * 1024, () =>
    visionEmbeddingProblem({ images: 1, perImage: 576, columns: 1024, classToken: true }),
  ),
  ...attentionMatrices({ queries: 80, heads: 8, headSize: 16 }),
  ...attentionMatrices({ queries: 640, heads: 32, headSize: 128 }),
  ...attentionMatrices({ queries: 1, keys: 640, heads: 32, headSize: 128 }),
  group('headSum', '[80,8,128]', 80 * 8 * 128, () => headSumProblem(80, 8, 128, false)),
  group('headSum', '[64,32,4096]', 64 * 32 * 4096, () => headSumProblem(64, 32, 4096, false)),
  headResult({ queries: 80, heads: 8, headSize: 16, dModel: 128 }),
  headResult({ queries: 1, heads: 32, headSize: 128, dModel: 4096 }),
  headResult({ queries: 640, heads: 32, headSize: 128, dModel: 4096 }),
];

function norm(op: 'layerNorm' | 'rmsNorm', sizes: NormSizes): BenchmarkGroup {
  const [rows, columns] = sizes;
  return groupOf({
    op,
    sizes: `[${sizes}]`,
    flops: 8 * rows * columns,
    problem: () => normProblem(op === 'layerNorm' ? 'layer' : 'rms', sizes),
    others: (call, { capabilities }) => {
      const variant = chooseNorm(columns, { ...capabilities, subgroupMinSize: 0 });
      return { workgroup: (rec, options) => call(rec, { ...options, variant }) };
    },
    baseline: 'workgroup',
  });
}

/** Scores, their softmax, and its product with the values: what reading or editing them costs. */
function attentionMatrices(sizes: Parameters<typeof attentionCase>[0]): BenchmarkGroup[] {
  const c = { ...attentionCase(sizes), causal: true };
  const { queries, keys, heads, headSize } = c;
  const entries = heads * queries * keys;
  const name = `causal ${queries} x ${keys}, ${heads} heads of ${headSize}`;
  return [
    group('attentionScores', name, 2 * entries * headSize, () => attentionScoresProblem(name, c)),
    group('attentionPattern', `[${heads},${queries},${keys}]`, 4 * entries, () =>
      attentionPatternProblem([heads, queries, keys]),
    ),
    group('attentionValues', name, 2 * entries * headSize, () => attentionValuesProblem(c)),
  ];
}

function headResult(sizes: HeadResultSizes): BenchmarkGroup {
  const { queries, heads, headSize, dModel } = sizes;
  const name = `${queries} queries, ${heads} heads of ${headSize}, ${dModel} wide, f16`;
  return group('headResult', name, 2 * queries * heads * headSize * dModel, () => headResultProblem(sizes, f16));
}

function group<Variant>(
  op: FromProblem<Variant>['op'],
  sizes: string,
  flops: number,
  problem: () => Problem<Variant>,
): BenchmarkGroup {
  return groupOf({ op, sizes, flops, problem });
}

import { type AttentionVariant, attention, attentionCost } from '../attention/attention.ts';
import { type AttentionReference, attentionCase, attentionRow, blocks, type Case } from '../attention/reference.ts';
import { type Geometry, geometry, segmentsOf, sizesOf } from '../attention/shapes.ts';
import type { AttentionMask } from '../custom/kernels.ts';
import type { Gpu } from '../gpu.ts';
import type { Recorder } from '../recorder.ts';
import type { DType, Tensor } from '../tensor.ts';
import { pseudoRandom } from './data.ts';
import type { BenchmarkGroup, PreparedGroup } from './group.ts';

interface Problem {
  readonly what: string;
  readonly queries: number;
  readonly keys: number;
  readonly heads: number;
  readonly kvHeads: number;
  readonly headSize: number;
  readonly causal: boolean;
  /** With causal: the last so many keys. */
  readonly window?: number;
  /** Without: lengths of the segments that see themselves. */
  readonly lengths?: readonly number[];
}

const table: Problem[] = [
  { what: 'tower of the embedded checkpoint', ...square(37), heads: 4, kvHeads: 4, headSize: 32, causal: false },
  { what: 'tower at 64x64', ...square(65), heads: 4, kvHeads: 4, headSize: 32, causal: false },
  { what: 'decoder of the embedded checkpoint', ...square(80), heads: 8, kvHeads: 8, headSize: 16, causal: true },
  { what: 'its next token', queries: 1, keys: 80, heads: 8, kvHeads: 8, headSize: 16, causal: true },
  { what: 'CLIP-L/14 at 336', ...square(577), heads: 16, kvHeads: 16, headSize: 64, causal: false },
  { what: 'LLaVA-1.5-7B', ...square(640), heads: 32, kvHeads: 32, headSize: 128, causal: true },
  { what: 'its next token', queries: 1, keys: 640, heads: 32, kvHeads: 32, headSize: 128, causal: true },
  { what: 'grouped, next token', queries: 1, keys: 4096, heads: 28, kvHeads: 4, headSize: 128, causal: true },
  { what: 'Mistral, scaled', ...square(1024), heads: 8, kvHeads: 2, headSize: 128, causal: true, window: 128 },
  {
    what: 'Qwen2.5-VL at 336',
    ...square(576),
    heads: 16,
    kvHeads: 16,
    headSize: 80,
    causal: false,
    lengths: Array(9).fill(64),
  },
];

function square(length: number): { queries: number; keys: number } {
  return { queries: length, keys: length };
}

const shapesOf = ({ queries, keys, heads, kvHeads, headSize }: Problem) => ({
  q: [queries, heads, headSize],
  k: [keys, kvHeads, headSize],
});

export const attentionBenchmarks: BenchmarkGroup[] = table.map((problem) => {
  const { what, queries, keys, heads, kvHeads, headSize, causal, window, lengths } = problem;
  const grouped = heads === kvHeads ? '' : `/${kvHeads}`;
  const mask = lengths ? `${lengths.length} segments` : window ? `window ${window}` : causal ? 'causal' : 'full';
  return {
    name: `attention ${mask} ${queries} x ${keys}, ${heads}${grouped} heads of ${headSize} (${what})`,
    flops: attentionCost(sizes(problem)).flops,
    op: 'attention',
    mask: sizesOf(sizes(problem)).mask as AttentionMask,
    prepare: (gpu: Gpu) => prepare(gpu, problem),
  };
});

function sizes(problem: Problem): Geometry {
  const { q, k } = shapesOf(problem);
  const tensor = (label: string, shape: number[], dtype: DType = 'f32'): Tensor => ({
    label,
    dtype,
    shape,
    offset: 0,
    storage: { label, size: 0, buffer: undefined },
  });
  return geometry('benchmark', {
    q: tensor('q', q),
    k: tensor('k', k),
    causal: problem.causal,
    window: problem.window,
    ...(problem.lengths && {
      segments: tensor('segments', [problem.queries, 2], 'u32'),
      pairs: segmentsOf(problem.lengths).pairs,
    }),
    scale: 1,
    label: problem.what,
  });
}

function prepare(gpu: Gpu, problem: Problem): PreparedGroup {
  const { queries, causal, window, lengths } = problem;
  const shapes = shapesOf(problem);
  const make = (label: string, shape: number[], seed: number) => {
    const data = pseudoRandom(
      shape.reduce((a, b) => a * b),
      seed,
    );
    return { tensor: gpu.tensor(label, 'f32', shape, data), data };
  };
  const [q, k, v] = [make('q', shapes.q, 1), make('k', shapes.k, 2), make('v', shapes.k, 3)];
  const { scale } = caseOf(problem);
  const some = lengths && segmentsOf(lengths);
  const segments = some && gpu.tensor('segments', 'u32', [queries, 2], some.segments);
  const run = (variant?: AttentionVariant) => (rec: Recorder) =>
    attention(rec, {
      q: q.tensor,
      k: k.tensor,
      v: v.tensor,
      causal,
      window,
      segments,
      pairs: some?.pairs,
      scale,
      label: 'z',
      variant,
    });
  // What a variant was not made for takes a software adapter minutes.
  const variants: AttentionVariant[] = [];
  if (queries <= 16) variants.push('split');
  if (queries > 1) variants.push('tile');
  if (gpu.capabilities.software) variants.push('quad');
  return {
    tensors: [q.tensor, k.tensor, v.tensor, ...(segments ? [segments] : [])],
    candidates: { default: run(), ...Object.fromEntries(variants.map((name) => [name, run(name)])) },
    error: (z, reference) => errorOfRows(z, caseOf(problem), { q: q.data, k: k.data, v: v.data }, reference),
  };
}

const caseOf = ({ lengths, ...sizes }: Problem): Case =>
  attentionCase({ ...sizes, segments: lengths && blocks(...lengths) });

/** NMSE of up to 16 rows of z, the first and the last among them. */
function errorOfRows(
  z: Float32Array,
  c: Case,
  data: Record<'q' | 'k' | 'v', Float32Array>,
  reference?: AttentionReference,
): number {
  const rows = c.queries * c.heads;
  const { headSize } = c;
  let error = 0;
  let power = 0;
  for (let sample = 0; sample < 16; sample++) {
    const row = Math.round((sample * (rows - 1)) / 15);
    const expected = attentionRow(c, data, [0, Math.floor(row / c.heads), row % c.heads], reference).z;
    for (let d = 0; d < headSize; d++) {
      error += (z[row * headSize + d] - expected[d]) ** 2;
      power += expected[d] ** 2;
    }
  }
  return error / power;
}

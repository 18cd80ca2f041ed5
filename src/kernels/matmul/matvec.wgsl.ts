import type { Format } from '../../gpu/formats/format.ts';
import { lines, type MatmulTraits, matmulHeader } from './matmul.wgsl.ts';

export interface MatvecPlan {
  readonly variant: 'matvec' | 'matvecSubgroup';
  /** Rows of x, all of them. */
  readonly rows: number;
  /** Rows of the weight that a workgroup takes. */
  readonly columns: number;
  readonly threads: number;
}

/** Bytes of workgroup memory. */
export const matvecStorage = ({ rows, columns, threads }: MatvecPlan): number => 4 * (threads * rows * columns + 1);

/**
 * Variants `matvec` and `matvecSubgroup`, for one row or a few (decoding): the threads of a workgroup walk along K side by
 * side, so that each row of the weight is read once, in order, in vectors; at the end they add up what they have, in
 * workgroup memory, or within subgroups first. Of q8 and q4 a thread takes eight numbers at once, in place of four. K % 4 == 0. With
 * `gated` half of a workgroup's columns are the gate's, and the other half those that belong to them.
 *
 * Compiled for GPUs, registers, waves per SIMD, share of multiply-adds in the loop; no spills, no scratch. What counts is
 * memory: each round loads four rows of the weight, 16 (f16: 8) bytes for each of 64 threads.
 *                                  navi31           navi21           renoir           Ampere
 *     matvecSubgroup 1 row, f16    48, 16, 31 %     32, 16, 35 %     28,  9, 25 %     42, 19 %
 *     matvecSubgroup 1 row, bf16   48, 16, 22 %     32, 16, 24 %     28,  9, 24 %     42, 19 %
 *     matvecSubgroup 4 rows, f16  108,  7, 58 %     72,  7, 60 %     64,  4, 52 %     66, 33 %
 *     matvec 1 row, f16            24, 16, 31 %     24, 16, 35 %     28,  9, 25 %     47, 20 %
 *     gated: as without, the same loop
 *     matvecSubgroup 1 row, q8     48, 16, 38 %     48, 10, 40 %     48,  5, 16 %     62, 12 %
 *     matvecSubgroup 1 row, q4     48, 16, 35 %     48, 10, 38 %     48,  5, 15 %     62, 12 %
 * Four numbers of q4 at a time took 164, 152, 160 and 216 instructions a round (24, 21, 10, 9 %); eight take 192, 181, 210 and 292, as they
 * share a word, a scale and their addresses. A third to a half of the multiply-adds unpack. Four and eight interleaved,
 * [1,1024]x[4096,1024], CPU time of eight over four: SwiftShader q4 0.84, q8 0.68; lavapipe 26.2 0.65, 1.02.
 * SwiftShader, [1,1024]x[1024,1024] f32, workgroups of four threads: 2.3 ms (79 % of what a copy kernel reaches), `quad` 2.6,
 * `matvec` 13 (64 threads and a barrier); lavapipe 0.5 ms, `quad` 0.8, `matvec` 1.3.
 *
 * How threads make up subgroups is left open by WGSL: each subgroup takes the next free slot for its sums. With more than
 * two of them the order of the last additions, and so the last bit, could differ from run to run: `chooseMatmul` makes
 * workgroups of one subgroup.
 */
export function matvecWgsl(traits: MatmulTraits, plan: MatvecPlan): string {
  const { rows, columns, threads } = plan;
  const own = traits.gated ? columns / 2 : columns; // columns of y
  return matvecSums(plan, {
    header: matmulHeader(traits, 4),
    format: traits.format,
    place: `let first = group * ${own}u; // column of y`,
    weightRow: (j) =>
      j < own ? `min(first + ${j}u, params.n - 1u)` : `params.n + min(first + ${j - own}u, params.n - 1u)`,
    ending: /* wgsl */ `
  for (var s = t; s < ${rows * own}u; s += ${threads}u) {
    let row = s / ${own}u;
    let column = s % ${own}u;
    let at = row * ${columns}u + column;
    finish(row, first + column, total(used, at)${traits.gated ? `, total(used, at + ${own}u)` : ''});
  }`,
  });
}

/**
 * A kernel that adds up its columns so, and then does something with the sums.
 * @param of.header the bindings, params with k, and `operandsWgsl`
 * @param of.place says what is workgroup number `group`'s
 * @param of.weightRow the row of the weight that is column j of it
 * @param of.ending `total(used, row * columns + j)` is the sum of column j; `t` is the thread
 */
export function matvecSums(
  { variant, rows, columns, threads }: MatvecPlan,
  of: { header: string; format: Format; place: string; weightRow: (j: number) => string; ending: string },
): string {
  const subgroups = variant === 'matvecSubgroup';
  const eight = of.format.eightReader;
  const sums = rows * columns;
  return /* wgsl */ `${subgroups ? 'enable subgroups;' : ''}
${of.header}${eight?.('weight') ?? ''}
var<workgroup> partial: array<f32, ${threads * sums}>; // a row of sums for each thread, or subgroup
${subgroups ? 'var<workgroup> slots: atomic<u32>;' : ''}
@compute @workgroup_size(${threads}) fn main(
  @builtin(workgroup_id) id: vec3u, @builtin(num_workgroups) count: vec3u, @builtin(local_invocation_index) t: u32) {
  let group = id.y * count.x + id.x;
  ${of.place}
  let chunks = params.k / ${eight ? 8 : 4}u;
  ${lines(columns, (j) => `let wRow${j} = (${of.weightRow(j)}) * chunks;`)}
  ${lines(sums, (s) => `var sum${s} = 0.0;`)}
  for (var c = t; c < chunks; c += ${threads}u) {
    ${lines(columns, (j) => `let b${j} = ${eight ? 'weightEightAt' : 'weightAt'}(wRow${j} + c);`)}
    ${lines(rows, (i) =>
      eight
        ? `{ let at = 2u * (${i}u * chunks + c); let a0 = xAt(at); let a1 = xAt(at + 1u);
    ${lines(columns, (j) => `sum${i * columns + j} = dotAdd(a0, b${j}[0], dotAdd(a1, b${j}[1], sum${i * columns + j}));`)} }`
        : `{ let a = xAt(${i}u * chunks + c);
    ${lines(columns, (j) => `sum${i * columns + j} = dotAdd(a, b${j}, sum${i * columns + j});`)} }`,
    )}
  }
  ${
    subgroups
      ? `${lines(sums, (s) => `sum${s} = subgroupAdd(sum${s});`)}
  if (subgroupElect()) {
    let slot = atomicAdd(&slots, 1u);
    ${lines(sums, (s) => `partial[slot * ${sums}u + ${s}u] = sum${s};`)}
  }
  workgroupBarrier();
  let used = atomicLoad(&slots);`
      : `${lines(sums, (s) => `partial[t * ${sums}u + ${s}u] = sum${s};`)}
  workgroupBarrier();
  let used = ${threads}u;`
  }
  ${of.ending}
}
fn total(used: u32, at: u32) -> f32 {
  var sum = 0.0;
  for (var p = 0u; p < used; p++) { sum += partial[p * ${sums}u + at]; }
  return sum;
}
`;
}

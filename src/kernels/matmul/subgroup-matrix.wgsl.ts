import { type SubgroupMatrix, subgroupMatrixDirectives } from '../../gpu/subgroup-matrix.ts';
import { lines, type MatmulTraits, matmulHeader, tileWgsl } from './matmul.wgsl.ts';

export interface SubgroupMatrixPlan {
  readonly variant: 'subgroupMatrix';
  /** Of a workgroup's block of y. */
  readonly rows: number;
  readonly columns: number;
  /** Subgroups along the rows and the columns of the block, which share it evenly. */
  readonly subgroups: readonly [rows: number, columns: number];
  /** Numbers along K held in workgroup memory at a time. */
  readonly depth: number;
  /** So many subgroups of the largest size that the device has. */
  readonly threads: number;
  readonly matrix: SubgroupMatrix;
}

/** Vectors of four by which rows in workgroup memory are apart: with two more than they have, neighbours meet in no bank. */
const strideOf = (depth: number) => depth / 4 + 2;

/** Bytes of workgroup memory. */
export const subgroupMatrixStorage = ({ rows, columns, subgroups, depth, matrix }: SubgroupMatrixPlan): number =>
  8 * strideOf(depth) * (rows + columns) + 4 * subgroups[0] * subgroups[1] * matrix.m * matrix.n;

/**
 * Variant `subgroupMatrix`, for many rows where f16 arithmetic was asked for: a workgroup takes a block of x and of the weight, rounded to
 * f16, through workgroup memory; its subgroups multiply matrices of them and sum in f32. At the end each subgroup lays its sums down, a
 * matrix at a time, for the epilogue. K % 4 == 0.
 *
 * Compiled for navi31 (RADV, matrices of 16x16x16, subgroups of 64), no spills, no scratch. Registers, waves per SIMD, workgroup memory in
 * KiB; matrix products, and instructions in all, of the hot loop:
 *                        registers  waves  memory   products  instructions f32, f16, bf16, q8, q4
 *     32x64,   32 deep      84        7      9.5        8       178, 166, 206, 260, 288
 *     64x64,   32 deep      84        9     14          8       162, 158, 178, 200, 214
 *     128x64,  16 deep      96        8     13          8       136, 136, 145, 159, 165
 *     128x128, 16 deep     144        5     16         16       175, 162, 182, 216, 227
 * A block of 64x64 and 32 of K takes 632 instructions, in place of `workgroup`'s 2,880. What brought them down from 566 in a loop:
 * - blocks of vec2u: out of an array of f16 RADV loads each half as if it stood at an odd place, 68 loads in place of 20;
 * - `%` where a subgroup's place is computed: Dawn then knows the bounds, and leaves out its test of each load;
 * - a select of packed halves, none for the weight, and stored halves as they are.
 * Its loads are unrolled only where that is a few: adapters without a GPU have small subgroups, and took minutes to compile 32 of them.
 *
 * NMSE 4e-8 for weights of f16, 8e-8 for others: each operand that is rounded to 11 bits adds 4e-8. Run on lavapipe 26.2 (8x8x8), on no GPU.
 */
export function matmulSubgroupMatrixWgsl(traits: MatmulTraits, plan: SubgroupMatrixPlan): string {
  const { rows, columns, subgroups, depth, threads, matrix } = plan;
  const { m, n, k } = matrix;
  const [stride, chunks] = [strideOf(depth), depth / 4];
  const count = subgroups[0] * subgroups[1];
  // of a subgroup, in numbers and in matrices
  const [height, width] = [rows / subgroups[0], columns / subgroups[1]];
  const [down, across] = [height / m, width / n];
  const fill = (block: string, blockRows: number, load: string) => {
    const cells = blockRows * chunks;
    const body = `let row = at / ${chunks}u; let c = start + at % ${chunks}u; ${block}[row * ${stride}u + at % ${chunks}u] = ${load};`;
    return cells % threads === 0 && cells <= 4 * threads // without a loop all loads are under way at once
      ? lines(cells / threads, (r) => `{ let at = t + ${r * threads}u; ${body} }`)
      : `for (var at = t; at < ${cells}u; at += ${threads}u) { ${body} }`;
  };
  const each = (line: (i: number, j: number) => string) =>
    lines(down * across, (s) => line(Math.floor(s / across), s % across));
  return /* wgsl */ `${subgroupMatrixDirectives(matrix)}
${matmulHeader(traits, 4)}
alias Left = subgroup_matrix_left<f16, ${k}, ${m}>;
alias Right = subgroup_matrix_right<f16, ${n}, ${k}>;
alias Sum = subgroup_matrix_result<f32, ${n}, ${m}>;
fn halves(v: vec4f) -> vec2u { return bitcast<vec2u>(vec4<f16>(v)); }
fn weightHalvesAt(i: u32) -> vec2u { return ${traits.format.name === 'f16' ? 'weight[i]' : 'halves(weightAt(i))'}; }
var<workgroup> xBlock: array<vec2u, ${rows * stride}>; // four numbers each
var<workgroup> wBlock: array<vec2u, ${columns * stride}>;
var<workgroup> sums: array<f32, ${count * m * n}>; // a matrix of each subgroup
@compute @workgroup_size(${threads}) fn main(
  @builtin(workgroup_id) id: vec3u, @builtin(num_workgroups) count: vec3u, @builtin(local_invocation_index) t: u32,
  @builtin(subgroup_id) subgroup: u32) {
  ${tileWgsl(rows, columns)}
  // Bounds that the compiler sees spare it tests of each load. Where subgroups are smaller there are more of them: they repeat the first.
  let top = subgroup / ${subgroups[1]}u % ${subgroups[0]}u * ${height}u;
  let left = subgroup % ${subgroups[1]}u * ${width}u;
  let chunks = params.k / 4u;
  ${each((i, j) => `var sum${i}_${j}: Sum;`)}
  for (var start = 0u; start < chunks; start += ${chunks}u) {
    ${fill('xBlock', rows, 'select(vec2u(), halves(xAt(min(firstRow + row, params.rows - 1u) * chunks + c)), c < chunks)')}
    ${fill('wBlock', columns, 'weightHalvesAt(min(firstWeightRow + row, params.n - 1u) * chunks + min(c, chunks - 1u))')}
    workgroupBarrier();
    ${lines(
      depth / k,
      (d) => `{
      ${lines(down, (i) => `let a${i} = subgroupMatrixLoad<Left, row_major>(&xBlock, (top + ${i * m}u) * ${stride}u + ${(d * k) / 4}u, ${stride}u);`)}
      ${lines(across, (j) => `let b${j} = subgroupMatrixLoad<Right, col_major>(&wBlock, (left + ${j * n}u) * ${stride}u + ${(d * k) / 4}u, ${stride}u);`)}
      ${each((i, j) => `sum${i}_${j} = subgroupMatrixMultiplyAccumulate(a${i}, b${j}, sum${i}_${j});`)} }`,
    )}
    workgroupBarrier();
  }
  ${each(
    (
      i,
      j,
    ) => `if (subgroup < ${count}u) { subgroupMatrixStore<row_major>(&sums, subgroup * ${m * n}u, sum${i}_${j}, ${n}u); }
  workgroupBarrier();
  for (var at = t; at < ${count * m * n}u; at += ${threads}u) {
    let giver = at / ${m * n}u; // the subgroup that laid it down
    finish(firstRow + giver / ${subgroups[1]}u * ${height}u + ${i * m}u + at % ${m * n}u / ${n}u,
      firstWeightRow + giver % ${subgroups[1]}u * ${width}u + ${j * n}u + at % ${n}u, sums[at]);
  }
  workgroupBarrier();`,
  )}
}
`;
}

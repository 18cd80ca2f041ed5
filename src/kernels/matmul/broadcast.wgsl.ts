import { lines, type MatmulTraits, matmulHeader, tileWgsl } from './matmul.wgsl.ts';

export interface BroadcastPlan {
  readonly variant: 'broadcast';
  /** Of a workgroup's tile. */
  readonly rows: number;
  /** Of a workgroup's tile, a multiple of `threads`. */
  readonly columns: number;
  /** Vectors of four along K between two updates of the sums; K is a multiple of 4 times this. */
  readonly chunk: 1 | 2;
  /** Of a workgroup, which is one subgroup. */
  readonly threads: number;
}

/**
 * Variant `broadcast`: a subgroup shares a tile of y. Each thread loads its own rows of the weight. It also loads one row of x, while the other
 * threads load the rows beside it, and gets those by broadcasts. For software adapters whose subgroups are a CPU's vector registers, wider than the
 * four lanes of `quad` (lavapipe: 8). Sums are added in the order of `quad`, so that both give the same bits. K % 4 == 0; needs
 * subgroups of one size.
 *
 * lavapipe compiles a load of different places to a test of bounds and a branch for each lane, some 45 instructions for 8 numbers, and
 * they are most of what runs. A tile that all lanes share takes fewer loads for as many multiply-adds, and a broadcast takes one instruction.
 *
 * lavapipe 26.2 (LLVM 22, 8 lanes), CPU time over that of `quad` with two quads a workgroup, in turns in one process, medians of 5 to 7
 * rounds on a busy machine:
 *                            4x32    16x32   16x64   32x32   32x64   32x64, chunk 2   64x64
 *     4x4096x512   f32       0.98    1.7     1.9
 *     16x4096x512  f32               0.91    1.05    1.5     1.5
 *     60x128x352   f32               0.98    1.01    0.90    0.94    0.96
 *     64x1024x1024 f32                       0.84    0.73    0.82    0.68             0.61
 *     577x1024x512 f32                       1.04    0.87    0.82    0.85             1.03
 *     577x1024x512 f16                               0.95    0.84    0.76
 *     577x1024x512 q4                                0.88    0.73    0.73
 * 64x64 takes up to 2 s to compile, 32x64 some 0.5 s. What did not help: x through workgroup memory, read by all lanes at once (0.7 to 1.2
 * with twice the columns a thread: each number is five instructions there, tests of bounds again).
 */
export function matmulBroadcastWgsl(traits: MatmulTraits, { rows, columns, chunk, threads }: BroadcastPlan): string {
  const perThread = columns / threads;
  const sum = (row: number, j: number) =>
    `sums[${row * perThread + j}] += ${lines(chunk, (c) => `dot(a${c}, b${j}_${c})`, ' + ')};`;
  return /* wgsl */ `enable subgroups;
${matmulHeader(traits, 4)}
@compute @workgroup_size(${threads}) fn main(
  @builtin(workgroup_id) id: vec3u, @builtin(num_workgroups) count: vec3u, @builtin(subgroup_invocation_id) lane: u32) {
  ${tileWgsl(rows, columns)}
  let weightRow = firstWeightRow + lane;
  let chunks = params.k / 4u;
  ${lines(Math.ceil(rows / threads), (i) => `let xRow${i} = min(firstRow + ${threads * i}u + lane, params.rows - 1u) * chunks;`)}
  ${lines(perThread, (j) => `let wRow${j} = min(weightRow + ${threads * j}u, params.n - 1u) * chunks;`)}
  var sums: array<f32, ${rows * perThread}>;
  for (var c = 0u; c < chunks; c += ${chunk}u) {
    ${lines(perThread, (j) => lines(chunk, (d) => `let b${j}_${d} = weightAt(wRow${j} + c + ${d}u);`))}
    ${lines(
      Math.ceil(rows / threads),
      (i) => `{
      ${lines(chunk, (d) => `let own${d} = xAt(xRow${i} + c + ${d}u);`)}
      ${lines(
        Math.min(threads, rows - threads * i),
        (s) => `{
        ${lines(chunk, (d) => `let a${d} = subgroupBroadcast(own${d}, ${s}u);`)}
        ${lines(perThread, (j) => sum(threads * i + s, j))}
      }`,
      )}
    }`,
    )}
  }
  for (var i = 0u; i < ${rows}u; i++) {
    ${lines(perThread, (j) => `finish(firstRow + i, weightRow + ${threads * j}u, sums[i * ${perThread}u + ${j}u]);`)}
  }
}
`;
}

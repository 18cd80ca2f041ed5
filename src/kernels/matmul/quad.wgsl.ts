import { lines, type MatmulTraits, matmulHeader, tileWgsl } from './matmul.wgsl.ts';

export interface QuadPlan {
  readonly variant: 'quad';
  /** Of a quad's tile, multiples of 4. */
  readonly rows: number;
  readonly columns: number;
  /** Vectors of four along K between two updates of the sums; K is a multiple of 4 times this. */
  readonly chunk: 1 | 2;
}

const swaps = ['', 'quadSwapX', 'quadSwapY', 'quadSwapDiagonal'];

/**
 * Variant `quad`: four threads share a tile of y. Each loads its own rows of the weight and a quarter of the rows of x, and
 * gets the other three quarters by quad swaps. A workgroup is one quad: four threads, whatever the size of a subgroup. For software
 * adapters; where their subgroups are wider, `broadcast` leaves no lane idle. K % 4 == 0; needs subgroups.
 *
 * Measured on 2 cores by CPU time (the machine was busy), f32, GFLOP/s:
 *     SwiftShader 5 (subgroups of 4)     [256,1024]x[1024,1024]  [60,128]x[352,128]  [60,352]x[128,352]  [80,128]x[800,128]
 *       4x4 tile, sums as vectors                 2.4
 *       variant tile, 4x4                         2.7                  2.1                 2.3                 2.0
 *       variant workgroup, 8x4                    1.4                  0.7                 1.0                 0.5
 *       quad 16x32                                5.8                  3.9                 4.5                 4.6
 *       quad 32x32, chunk 2                       7.0
 *     lavapipe 25 (subgroups of 8), half of the lanes idle: 4x4 9.9, tile 11.1, workgroup 7.3, quad 32x32 19.6; 22 at [60,352].
 * bf16 and f16 weights are within 10 % of f32.
 *
 * What SwiftShader costs, in nanoseconds for the four lanes of a subgroup: a load of one number 9 to 12, whether lanes read
 * the same number, neighbours or strangers, and whether four are loaded as a vector; half of that is the bounds check. A
 * multiply-add 0.7; an update of a sum 3 (variables live in memory), so that sums take four or eight products at a time; a
 * swap 0.9, a broadcast 2, a shuffle 7; a round of a loop 15; a variable index into a private array 8, a constant one nothing.
 * Hence large tiles, each number loaded by one lane alone, and the epilogue as a loop (4 % of the time at K = 128, and
 * unrolled it takes 0.7 s to compile instead of 0.2). Compiling sets the size of the tiles: 16x32 0.25 s, with chunk 2
 * 0.5 s for 5 % of speed, 32x32 0.5 s, with chunk 2 0.9 s; so 16x32 below 128 rows, and below
 * 512 where the weight is small.
 *
 * What did not help there: broadcasts within the subgroup instead of swaps (15 % slower), lanes side by side along K with
 * subgroupAdd (half as fast), a row of the weight as an inner array of fixed size (cheaper bounds checks, but no faster as a
 * whole), 16x64, workgroups that loop over tiles.
 */
export function matmulQuadWgsl(traits: MatmulTraits, { rows, columns, chunk }: QuadPlan): string {
  const perThread = columns / 4;
  const sum = (swap: number, group: number, j: number) => {
    const at = `sums[${(4 * group + swap) * perThread + j}]`;
    return `${at} += ${lines(chunk, (c) => `dot(a${c}, b${j}_${c})`, ' + ')};`;
  };
  return /* wgsl */ `enable subgroups;
${matmulHeader(traits, 4)}
@compute @workgroup_size(4) fn main(
  @builtin(workgroup_id) id: vec3u, @builtin(num_workgroups) count: vec3u,
  @builtin(subgroup_invocation_id) lane: u32) {
  ${tileWgsl(rows, columns)}
  let weightRow = firstWeightRow + lane;
  let chunks = params.k / 4u;
  ${lines(rows / 4, (i) => `let xRow${i} = min(firstRow + ${4 * i}u + lane, params.rows - 1u) * chunks;`)}
  ${lines(perThread, (j) => `let wRow${j} = min(weightRow + ${4 * j}u, params.n - 1u) * chunks;`)}
  var sums: array<f32, ${rows * perThread}>;
  for (var c = 0u; c < chunks; c += ${chunk}u) {
    ${lines(perThread * chunk, (j) => `let b${Math.floor(j / chunk)}_${j % chunk} = weightAt(wRow${Math.floor(j / chunk)} + c + ${j % chunk}u);`)}
    ${lines(
      rows / 4,
      (i) => `{
      ${lines(chunk, (c) => `let own${c} = xAt(xRow${i} + c + ${c}u);`)}
      ${swaps
        .map(
          (swap, s) => `{
        ${lines(chunk, (c) => `let a${c} = ${swap}(own${c});`)}
        ${lines(perThread, (j) => sum(s, i, j))}
      }`,
        )
        .join('\n')}
    }`,
    )}
  }
  // swap s brought the row of lane ^ s
  for (var i = 0u; i < ${rows}u; i++) {
    ${lines(perThread, (j) => `finish(firstRow + (i ^ lane), weightRow + ${4 * j}u, sums[i * ${perThread}u + ${j}u]);`)}
  }
}
`;
}

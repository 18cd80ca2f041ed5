import { lines, type MatmulTraits, matmulHeader, tileWgsl } from './matmul.wgsl.ts';

export interface TilePlan {
  readonly variant: 'tile';
  /** Of a thread's tile. */
  readonly rows: number;
  readonly columns: number;
}

/** Threads of a workgroup: 8 down the rows, 8 along the columns of y. */
const side = 8;
export const tileExtent = ({ rows, columns }: TilePlan) => ({ rows: rows * side, columns: columns * side });

/**
 * Variant `tile`: each thread a tile of y in registers, its operands four elements along K straight from storage. No
 * workgroup memory and no optional feature; K % 4 == 0. For devices without the workgroup memory or the subgroups that the
 * faster variants need.
 *
 * Compiled for GPUs, 4x4, registers, waves per SIMD, share of multiply-adds in the hot loop; no spills, no scratch:
 *                     navi31           navi21           renoir           Ampere
 *     f32             72, 10, 62 %     64,  8, 63 %     64,  4, 65 %     69, 52 %
 *     f16             60, 12, 62 %     56,  9, 63 %     64,  4, 56 %     67, 49 %
 * With `dot` for `dotAdd` renoir has 42 %. 8x4 has 73 % on navi31 with 108 registers and 7 waves. On SwiftShader 8x8 is 1.8
 * times as fast as 4x4 (2.2 against 1.2 GFLOP/s and CPU second), but takes 0.5 s to compile, and all adapters of that kind have
 * subgroups and take `quad`.
 */
export function matmulTileWgsl(traits: MatmulTraits, plan: TilePlan): string {
  const { rows, columns } = plan;
  const extent = tileExtent(plan);
  // a thread's rows and columns stand `side` apart, so that neighbours read and write neighbouring numbers
  return /* wgsl */ `${matmulHeader(traits, 4)}
@compute @workgroup_size(${side}, ${side}) fn main(
  @builtin(workgroup_id) id: vec3u, @builtin(num_workgroups) count: vec3u, @builtin(local_invocation_id) t: vec3u) {
  ${tileWgsl(extent.rows, extent.columns)}
  let row = firstRow + t.y;
  let weightRow = firstWeightRow + t.x;
  let chunks = params.k / 4u;
  ${lines(rows, (i) => `let xRow${i} = min(row + ${i * side}u, params.rows - 1u) * chunks;`)}
  ${lines(columns, (j) => `let wRow${j} = min(weightRow + ${j * side}u, params.n - 1u) * chunks;`)}
  ${lines(rows * columns, (s) => `var sum${s} = 0.0;`)}
  for (var c = 0u; c < chunks; c++) {
    ${lines(rows, (i) => `let a${i} = xAt(xRow${i} + c);`)}
    ${lines(columns, (j) => `let b${j} = weightAt(wRow${j} + c);`)}
    ${lines(rows * columns, (s) => `sum${s} = dotAdd(a${Math.floor(s / columns)}, b${s % columns}, sum${s});`)}
  }
  ${lines(rows * columns, (s) => `finish(row + ${Math.floor(s / columns) * side}u, weightRow + ${(s % columns) * side}u, sum${s});`)}
}
`;
}

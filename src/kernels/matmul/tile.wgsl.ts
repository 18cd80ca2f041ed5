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
 * Variant `tile`: each thread a tile of y in registers, its operands four numbers along K straight from storage. No
 * workgroup memory and no optional feature; K % 4 == 0.
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

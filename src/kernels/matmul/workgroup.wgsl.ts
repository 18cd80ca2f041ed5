import { lines, type MatmulTraits, matmulHeader, tileWgsl } from './matmul.wgsl.ts';

export interface WorkgroupPlan {
  readonly variant: 'workgroup';
  /** Of a thread's tile. */
  readonly rows: number;
  readonly columns: number;
  /** Threads along the rows and the columns of y. */
  readonly threads: readonly [rows: number, columns: number];
  /** Vectors of four along K held in workgroup memory at a time. */
  readonly depth: number;
}

export const workgroupExtent = ({ rows, columns, threads }: WorkgroupPlan) => ({
  rows: rows * threads[0],
  columns: columns * threads[1],
});

/** Bytes of workgroup memory. */
export const workgroupStorage = (plan: WorkgroupPlan) => {
  const extent = workgroupExtent(plan);
  return 16 * (plan.depth + 1) * (extent.rows + extent.columns);
};

/**
 * Variant `workgroup`: a workgroup takes a block of x and of the weight through workgroup memory, each thread a tile of y in
 * registers. For GPUs: loads from storage are coalesced, and each number is loaded once for a whole block. K % 4 == 0.
 *
 * Compiled for GPUs (RADV; NVK without bounds checks), K and N as params; no spills, no scratch, 10 KiB of workgroup memory.
 * Registers, waves per SIMD, and share of multiply-adds in the hot loop:
 *                     navi31           navi21           renoir           Ampere
 *     8x4 f32         84,  7, 71 %     80,  6, 76 %     76,  3, 55 %     62, 52 %
 *     8x4 f16         96,  7, 71 %     80,  6, 75 %     72,  3, 54 %     62, 50 %
 *     8x4 bf16        96,  7, 70 %     80,  6, 75 %     72,  3, 54 %     62, 50 %
 *     4x4 f32         72,  8, 64 %     64,  8, 68 %     64,  4, 68 %     46, 63 %   (blocks of 32 rows)
 * For a block of 64x64 RADV's model gives 8x4 6 % more throughput than 4x4 with 256 threads; 8x8 gains nothing over 8x4 and
 * halves the waves, 4x8 takes 108 registers on navi31. `dot` instead of `dotAdd` costs 15 % on renoir. No GPU has run it yet.
 *
 * Rows of a block are padded by one vector: with the unpadded 16 elements, threads that read neighbouring rows would meet in
 * two of the 32 banks.
 */
export function matmulWorkgroupWgsl(traits: MatmulTraits, plan: WorkgroupPlan): string {
  const { rows, columns, threads, depth } = plan;
  const extent = workgroupExtent(plan);
  const count = threads[0] * threads[1];
  const stride = depth + 1;
  const fill = (block: string, height: number, load: string, first: string, limit: string) => {
    const rounds = Math.ceil((height * depth) / count);
    return lines(rounds, (r) => {
      const exact = (r + 1) * count <= height * depth;
      const body = `let at = t + ${r * count}u; let row = at / ${depth}u; let c = start + at % ${depth}u;
      ${block}[row * ${stride}u + at % ${depth}u] = select(vec4f(), ${load}(min(${first} + row, ${limit} - 1u) * chunks + c), c < chunks);`;
      return exact ? `{ ${body} }` : `if (t + ${r * count}u < ${height * depth}u) { ${body} }`;
    });
  };
  return /* wgsl */ `${matmulHeader(traits, 4)}
var<workgroup> xBlock: array<vec4f, ${extent.rows * stride}>;
var<workgroup> wBlock: array<vec4f, ${extent.columns * stride}>;
@compute @workgroup_size(${count}) fn main(
  @builtin(workgroup_id) id: vec3u, @builtin(num_workgroups) count: vec3u, @builtin(local_invocation_index) t: u32) {
  ${tileWgsl(extent.rows, extent.columns)}
  let row = t / ${threads[1]}u;
  let column = t % ${threads[1]}u;
  let chunks = params.k / 4u;
  ${lines(rows * columns, (s) => `var sum${s} = 0.0;`)}
  for (var start = 0u; start < chunks; start += ${depth}u) {
    ${fill('xBlock', extent.rows, 'xAt', 'firstRow', 'params.rows')}
    ${fill('wBlock', extent.columns, 'weightAt', 'firstWeightRow', 'params.n')}
    workgroupBarrier();
    for (var c = 0u; c < ${depth}u; c++) {
      ${lines(columns, (j) => `let b${j} = wBlock[(column + ${j * threads[1]}u) * ${stride}u + c];`)}
      ${lines(
        rows,
        (i) => `{ let a = xBlock[(row + ${i * threads[0]}u) * ${stride}u + c];
      ${lines(columns, (j) => `sum${i * columns + j} = dotAdd(a, b${j}, sum${i * columns + j});`)} }`,
      )}
    }
    workgroupBarrier();
  }
  ${lines(rows * columns, (s) => `finish(firstRow + row + ${Math.floor(s / columns) * threads[0]}u, firstWeightRow + column + ${(s % columns) * threads[1]}u, sum${s});`)}
}
`;
}

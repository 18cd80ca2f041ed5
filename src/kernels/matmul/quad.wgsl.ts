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
 * gets the other three quarters by quad swaps. A quad is four threads whatever the size of a subgroup, and it is the whole
 * workgroup here, so nothing is assumed about that size. For software adapters, where a load costs as much as 15
 * multiply-adds; a GPU with wide subgroups would idle most of its lanes. K % 4 == 0; needs subgroups.
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

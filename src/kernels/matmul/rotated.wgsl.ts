import type { Format } from '../../gpu/formats/format.ts';
import { cachedText } from '../cached-text.ts';
import { type AppendTraits, appendWgsl } from '../rotary/append.wgsl.ts';
import { operandsWgsl } from './matmul.wgsl.ts';
import { type MatvecPlan, matvecSums } from './matvec.wgsl.ts';

export interface RotatedTraits extends Omit<AppendTraits, 'width'> {
  /** Of the weight. */
  readonly format: Format;
  readonly bias: boolean;
}

/** Whether heads are of whole workgroups, which write two numbers of each half at once. */
export const dividesHeads = ({ columns }: MatvecPlan, headSize: number) =>
  columns % 4 === 0 && headSize % columns === 0;

/**
 * Variants `matvec` and `matvecSubgroup` of the product that makes q, k and v side by side, with the ending of `rotateAndAppend`: half of
 * a workgroup's columns are of the first half of a head, and the other half those that they are turned with, D/2 further on.
 * Plan, loop and sums are those of `matvec`, bit for bit.
 *
 * Compiled for GPUs: registers (five more on Ampere), waves and loop of `matvec`; no spills, no scratch. The ending takes 160 to 210
 * instructions more than that of `matvec`, once a workgroup, and by RADV's estimate 1,650 cycles of a wave (navi31).
 * CPU time beside the two dispatches: 1.0 of theirs (ADR 24 has the figures).
 *
 * It writes two numbers at once, a word of f16. Four, as other kernels write, would take eight columns a workgroup, and those take
 * registers: of q8 and q4 nine waves per SIMD in place of 16 (navi31), five of ten (navi21), three of five (renoir). A workgroup of two
 * subgroups, with four columns each, will not do: WGSL does not say which threads are in which.
 */
export const rotatedMatmulWgsl = cachedText((traits: RotatedTraits, plan: MatvecPlan): string => {
  const { format, bias, headSize } = traits;
  const { rows, columns, threads } = plan;
  const own = columns / 2; // of each half of a head
  const weight = format.bindings(1, 'weight', 4);
  const table = 1 + weight.length + (bias ? 1 : 0);
  return matvecSums(plan, {
    format,
    header: /* wgsl */ `
@group(0) @binding(0) var<storage, read> x: array<vec4f>;
${weight.join('\n')}
${bias ? `@group(0) @binding(${table - 1}) var<storage, read> bias: array<Vector>;` : ''}
${appendWgsl({ ...traits, width: 2 }, table)}
// n: rows of the weight
struct Params { n: u32, k: u32, outRow: u32, perSequence: u32, pitch: u32 }
@group(0) @binding(${table + 4}) var<uniform> params: Params;
${operandsWgsl(format, 4)}
`,
    place: /* wgsl */ `let head = group / ${headSize / columns}u;
  let first = group % ${headSize / columns}u * ${own}u; // column of each half`,
    weightRow: (j) => `min(head * ${headSize}u + first + ${j < own ? j : headSize / 2 + j - own}u, params.n - 1u)`,
    ending: /* wgsl */ `
  for (var s = t; s < ${rows * columns}u; s += ${threads}u) { partial[s] = total(used, s); }
  workgroupBarrier();
  for (var s = t; s < ${(rows * columns) / 4}u; s += ${threads}u) {
    let row = s / ${columns / 4}u;
    let pair = s % ${columns / 4}u;
    let at = row * ${columns}u + 2u * pair;
    let i = first / 2u + pair;
    let a = vec2f(partial[at], partial[at + 1u])${bias ? ' + bias[head * half * 2u + i]' : ''};
    let b = vec2f(partial[at + ${own}u], partial[at + ${own + 1}u])${bias ? ' + bias[(head * 2u + 1u) * half + i]' : ''};
    if (head < heads + 2u * kvHeads) { append(row, head, i, a, b); }
  }`,
  });
});

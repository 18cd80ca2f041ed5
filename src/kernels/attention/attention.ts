import { type Cost, floatBits, type Recorder, read, readWrite } from '../recorder.ts';
import { expectDType, expectShape, type Tensor } from '../tensor.ts';
import { attentionKeysWgsl } from './attention.wgsl.ts';
import { type Geometry, geometry, type QueryKeyArgs, visiblePairs } from './shapes.ts';

export const attentionVariants = ['keys'] as const;
export type AttentionVariant = (typeof attentionVariants)[number];

export interface AttentionArgs extends QueryKeyArgs {
  /** The shape of k. */
  v: Tensor;
  /** Default: a temporary. */
  out?: Tensor;
  /** Default: what `chooseAttention` says. */
  variant?: AttentionVariant;
}

/**
 * softmax(q·kᵀ·scale + mask)·v per head, with online softmax: no scores reach memory.
 * @returns z, [batch * T, H, D] f32: the head outputs, hook_z
 * @throws ShapeError
 */
export function attention(rec: Recorder, args: AttentionArgs): Tensor {
  const { q, k, v, label } = args;
  const g = geometry('attention', args);
  expectDType('attention', v, 'f32');
  expectShape('attention', v, k.shape);
  const z = args.out ?? rec.temp(label, 'f32', q.shape);
  expectDType('attention', z, 'f32');
  expectShape('attention', z, q.shape);
  rec.dispatch({
    kernel: `attention.keys`,
    label,
    code: attentionKeysWgsl(g),
    bindings: [read(q), read(k), read(v), readWrite(z)],
    params: [g.queries, g.keys, g.keyRows, g.offset, floatBits(args.scale)],
    workgroups: [g.queries, g.heads, g.batch],
    cost: attentionCost(g),
  });
  return z;
}

/** Multiply-adds of the visible pairs alone, each of q, k, v and z once through memory; exponentials are not counted. */
export function attentionCost(g: Geometry): Cost {
  const { batch, queries, heads, kvHeads, headSize, keys } = g;
  return {
    flops: 4 * batch * heads * headSize * visiblePairs(g),
    bytes: 4 * batch * headSize * (2 * queries * heads + 2 * keys * kvHeads),
  };
}

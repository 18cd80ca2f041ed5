import type { Capabilities } from '../../gpu/capabilities.ts';
import { type Recorder, read, readWrite } from '../../gpu/recorder.ts';
import { expectDType, expectShape, type Tensor } from '../../gpu/tensor.ts';
import { cachedText } from '../cached-text.ts';
import { convertTensor } from '../convert/convert.ts';
import {
  type AttentionShape,
  type AttentionTile,
  attentionContract,
  attentionSplitWgsl,
  attentionTileWgsl,
} from './attention.wgsl.ts';
import { recordDecode, splitsOf } from './decode.ts';
import { decodes } from './decode.wgsl.ts';
import {
  attentionCost,
  attentionParams,
  type Geometry,
  geometry,
  laterGeometry,
  type QueryKeyArgs,
  sizesOf,
} from './shapes.ts';

/** `decode`: few queries of many keys. `split`: few queries. `tile`: many. `quad`: adapters without a GPU. What each is: attention.wgsl.ts. */
export const attentionVariants = ['decode', 'split', 'tile', 'quad'] as const;
export type AttentionVariant = (typeof attentionVariants)[number];

const tileText = cachedText(attentionTileWgsl);
const splitText = cachedText(attentionSplitWgsl);

export interface AttentionArgs extends QueryKeyArgs {
  /** The shape of k. */
  v: Tensor;
  /** Default: a temporary. */
  out?: Tensor;
  /** Whether the keys of few queries may be split over workgroups (`decode`). Default true. */
  splitKeys?: boolean;
  /** Default: what `chooseAttention` says. */
  variant?: AttentionVariant;
}

/**
 * softmax(q·kᵀ·scale + mask)·v per head, with online softmax: no scores reach memory.
 * @returns z, [batch * T, H, D] f32: the head outputs, hook_z
 * @throws ShapeError
 */
export function attention(rec: Recorder, args: AttentionArgs): Tensor {
  const { q, k, v, segments, label } = args;
  // A custom kernel reads f32.
  if (k.dtype !== 'f32' && rec.replaces('attention', label))
    return attention(rec, { ...args, k: convertTensor(rec, k, 'f32'), v: convertTensor(rec, v, 'f32') });
  const g = geometry('attention', args);
  expectDType('attention', v, k.dtype);
  expectShape('attention', v, k.shape);
  const z = args.out ?? rec.temp(label, 'f32', q.shape);
  expectDType('attention', z, 'f32');
  expectShape('attention', z, q.shape);
  const shape = {
    heads: g.heads,
    kvHeads: g.kvHeads,
    headSize: g.headSize,
    width: g.width,
    mask: g.mask,
    stored: g.stored,
  };
  const variant = args.variant ?? chosenVariant(rec, args, g, shape);
  if (variant === 'decode') {
    recordDecode(rec, args, g, shape, z);
    return z;
  }
  const tile = variant === 'split' ? undefined : attentionTile(variant, g.headSize / g.width);
  rec.dispatch({
    kernel: [`attention.${variant}`, g.mask, g.stored?.name].filter(Boolean).join(' '),
    label,
    code: tile ? tileText(shape, tile) : splitText(shape),
    bindings: [read(q), read(k), read(v), readWrite(z), ...(segments ? [read(segments)] : [])],
    params: attentionParams(g, args.scale),
    later: args.moves ? (steps) => laterParams(rec, args, g, shape, variant, steps) : undefined,
    workgroups: [tile ? Math.ceil(g.queries / (4 * tile.groups)) : g.queries, g.heads, g.batch],
    cost: attentionCost(g, k),
    header: () => attentionContract(shape),
    sizes: sizesOf(g),
    plainWorkgroups: [g.queries, g.heads, g.batch],
  });
  return z;
}

/** Params of a later step; nothing where another variant would run. */
function laterParams(
  rec: Recorder,
  args: AttentionArgs,
  g: Geometry,
  shape: AttentionShape,
  variant: AttentionVariant,
  steps: number,
): readonly number[] | undefined {
  const later = laterGeometry('attention', args, g, steps);
  if (!later || (args.variant ?? chosenVariant(rec, args, later, shape)) !== variant) return undefined;
  return attentionParams(later, args.scale);
}

/** A custom kernel takes the place of one dispatch: it is never offered the two of `decode`. */
function chosenVariant(
  rec: Recorder,
  { label, splitKeys = true }: AttentionArgs,
  g: Geometry,
  shape: AttentionShape,
): AttentionVariant {
  const possible = splitKeys && decodes(shape) && !rec.replaces('attention', label);
  const splits = possible ? splitsOf(g, shape) : 1;
  return chooseAttention(g.queries, rec.gpu.capabilities, splits);
}

/**
 * The variant for so many queries a sequence, on such an adapter.
 * @param splits into which `decode` would split the keys.
 */
export function chooseAttention(
  queries: number,
  { software }: Pick<Capabilities, 'software'>,
  splits = 1,
): AttentionVariant {
  if (software) return 'quad';
  if (queries > 4) return 'tile';
  return splits > 1 ? 'decode' : 'split';
}

/** How `tile` and `quad` divide a workgroup, for heads of so many vectors. */
export function attentionTile(variant: 'tile' | 'quad', chunks: number): AttentionTile {
  if (variant === 'quad') return { groups: 1, lanes: 4, keysPerThread: 4 };
  // At most three vectors of the head a thread, for four queries: more accumulators take all of a GPU's registers.
  let lanes = 8;
  while (lanes < 64 && chunks > 3 * lanes) lanes *= 2;
  return { groups: (lanes <= 16 ? 64 : 128) / lanes, lanes, keysPerThread: 4 };
}

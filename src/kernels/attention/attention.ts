import type { Capabilities } from '../../gpu/capabilities.ts';
import { type Recorder, read, readWrite } from '../../gpu/recorder.ts';
import { expectDType, expectShape, type Tensor } from '../../gpu/tensor.ts';
import { cachedText } from '../cached-text.ts';
import { tunedCandidate } from '../candidates.ts';
import { convertTensor } from '../convert/convert.ts';
import { type AttentionShape, attentionContract, attentionSplitWgsl, attentionTileWgsl } from './attention.wgsl.ts';
import { attentionBroadcastWgsl, broadcastQueries } from './broadcast.wgsl.ts';
import {
  type AttentionCandidate,
  attentionCandidateNames,
  attentionCandidates,
  attentionObstacle,
  attentionQuestion,
} from './candidates.ts';
import { recordDecode, splitsOf } from './decode.ts';
import { decodes } from './decode.wgsl.ts';
import { type AttentionVariant, attentionPlan } from './plan.ts';
import {
  attentionCost,
  attentionParams,
  type Geometry,
  geometry,
  laterGeometry,
  type QueryKeyArgs,
  sizesOf,
} from './shapes.ts';

export { type AttentionVariant, attentionVariants } from './plan.ts';

const tileText = cachedText(attentionTileWgsl);
const splitText = cachedText(attentionSplitWgsl);
const broadcastText = cachedText(attentionBroadcastWgsl);

export interface AttentionArgs extends QueryKeyArgs {
  /** The shape of k. */
  v: Tensor;
  /** Default: a temporary. */
  out?: Tensor;
  /** Whether the keys of few queries may be split over workgroups (`decode`). Default true. */
  splitKeys?: boolean;
  /** Default: what the device is tuned to, or else what `chooseAttention` says. */
  variant?: AttentionVariant | AttentionCandidate;
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
  const nameOf = (geometry: Geometry) => args.variant ?? chosenVariant(rec, args, geometry, shape);
  const name = nameOf(g);
  const later = (steps: number) => {
    const moved = laterGeometry('attention', args, g, steps);
    return moved && nameOf(moved) === name ? moved : undefined;
  };
  const chunks = g.headSize / g.width;
  const plan = isCandidate(name) ? attentionCandidates[name](chunks) : attentionPlan(name, chunks);
  if (plan.variant === 'decode') {
    recordDecode(rec, args, { g, shape, z, wanted: plan.wanted, later });
    return z;
  }
  const [code, queriesEach] =
    plan.variant === 'split'
      ? [splitText(shape), 1]
      : plan.variant === 'broadcast'
        ? [broadcastText(shape), broadcastQueries]
        : [tileText(shape, plan.tile), 4 * plan.tile.groups];
  rec.dispatch({
    kernel: [`attention.${plan.variant}`, g.mask, g.stored?.name].filter(Boolean).join(' '),
    label,
    code,
    bindings: [read(q), read(k), read(v), readWrite(z), ...(segments ? [read(segments)] : [])],
    params: attentionParams(g, args.scale),
    later: args.moves
      ? (steps) => {
          const moved = later(steps);
          return moved && attentionParams(moved, args.scale);
        }
      : undefined,
    workgroups: [Math.ceil(g.queries / queriesEach), g.heads, g.batch],
    cost: attentionCost(g, k),
    header: () => attentionContract(shape),
    sizes: sizesOf(g),
    plainWorkgroups: [g.queries, g.heads, g.batch],
  });
  return z;
}

const isCandidate = (name: AttentionVariant | AttentionCandidate): name is AttentionCandidate =>
  Object.hasOwn(attentionCandidates, name);

/** A custom kernel takes the place of one dispatch: it is never offered the two of `decode`. */
function chosenVariant(
  rec: Recorder,
  { label, splitKeys = true }: AttentionArgs,
  g: Geometry,
  shape: AttentionShape,
): AttentionVariant | AttentionCandidate {
  const free = splitKeys && !rec.replaces('attention', label);
  // Tuning does not know the lengths of segments.
  if (free && g.mask !== 'segments') {
    const tuned = tunedCandidate(rec.gpu, attentionQuestion(g), attentionCandidateNames, (each) =>
      attentionObstacle(each, g, rec.gpu.capabilities),
    );
    if (tuned) return tuned;
  }
  const splits = free && decodes(shape) ? splitsOf(g, shape) : 1;
  return chooseAttention(g, rec.gpu.capabilities, splits);
}

/**
 * The variant for such a shape, on such an adapter.
 * @param splits into which `decode` would split the keys.
 */
export function chooseAttention(
  { queries, heads, kvHeads, headSize }: Pick<Geometry, 'queries' | 'heads' | 'kvHeads' | 'headSize'>,
  { software, subgroupMinSize }: Pick<Capabilities, 'software' | 'subgroupMinSize'>,
  splits = 1,
): AttentionVariant {
  const few = queries <= 4;
  if (!software) return !few ? 'tile' : splits > 1 ? 'decode' : 'split';
  // lavapipe: figures are in broadcast.wgsl.ts, which takes seconds to compile, and in decode.wgsl.ts
  if (subgroupMinSize >= 8) {
    if (queries >= 256 && headSize <= 128) return 'broadcast';
    if (few && splits > 1 && heads > 2 * kvHeads) return 'decode';
  }
  return 'quad';
}

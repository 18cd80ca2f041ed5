import type { Capabilities } from '../../gpu/capabilities.ts';
import type { TuningQuestion } from '../../gpu/tuning.ts';
import { decodes } from './decode.wgsl.ts';
import { type AttentionPlan, attentionPlan, attentionTile } from './plan.ts';
import type { Geometry } from './shapes.ts';

/** A plan for heads of so many vectors. */
type MakePlan = (chunks: number) => AttentionPlan;

const decode =
  (wanted: number): MakePlan =>
  () => ({ variant: 'decode', wanted });

/** What a device may be tuned to, by name: variants, some divided in another way. */
export const attentionCandidates = {
  split: (chunks) => attentionPlan('split', chunks),
  tile: (chunks) => attentionPlan('tile', chunks),
  'tile, twice the lanes': (chunks) => {
    const tile = attentionTile('tile', chunks);
    return { variant: 'tile', tile: { ...tile, lanes: 2 * tile.lanes, groups: Math.max(1, tile.groups / 2) } };
  },
  'tile, 2 keys a thread': (chunks) => ({
    variant: 'tile',
    tile: { ...attentionTile('tile', chunks), keysPerThread: 2 },
  }),
  quad: (chunks) => attentionPlan('quad', chunks),
  'decode, 128 workgroups': decode(128),
  'decode, 512 workgroups': decode(512),
  'decode, 2048 workgroups': decode(2048),
} as const satisfies Record<string, MakePlan>;

export type AttentionCandidate = keyof typeof attentionCandidates;
export const attentionCandidateNames = Object.keys(attentionCandidates) as AttentionCandidate[];

/** Queries above which the variants for few of them are not tried: they would take minutes. */
const fewQueries = 16;

/** Why a device cannot be tuned to a candidate for a shape, or undefined where it can. */
export function attentionObstacle(
  name: AttentionCandidate,
  g: Pick<Geometry, 'queries' | 'headSize' | 'width' | 'mask'>,
  device: Pick<Capabilities, 'software' | 'maxWorkgroupInvocations'>,
): string | undefined {
  const plan: AttentionPlan = attentionCandidates[name](g.headSize / g.width);
  if (plan.variant === 'quad') return device.software ? undefined : 'it is for adapters without a GPU';
  if (plan.variant === 'tile') {
    const threads = plan.tile.groups * plan.tile.lanes;
    return threads > device.maxWorkgroupInvocations
      ? `the device has fewer than ${threads} threads in a workgroup`
      : undefined;
  }
  if (g.queries > fewQueries) return `${g.queries} queries, more than ${fewQueries}`;
  if (plan.variant === 'decode' && !decodes(g)) return 'heads of more than 128 vectors, or segments, cannot be split';
  return undefined;
}

export function attentionQuestion(g: Geometry): TuningQuestion {
  const { queries, keys, batch, heads, kvHeads, headSize, mask, window, offset, stored } = g;
  return {
    op: 'attention',
    sizes: {
      queries,
      keys,
      batch,
      heads,
      kvHeads,
      headSize,
      mask: mask ?? (offset >= keys ? 'full' : 'causal'),
      ...(mask === 'window' && { window: window! }),
      format: stored?.name ?? 'f32',
    },
    growing: ['queries', 'keys', 'batch'],
  };
}

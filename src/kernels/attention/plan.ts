import type { AttentionTile } from './attention.wgsl.ts';

/**
 * `decode`: few queries of many keys. `split`: few queries. `tile`: many. `quad` and `broadcast`: adapters without a GPU, those with wide
 * subgroups for the latter. What each is: attention.wgsl.ts.
 */
export const attentionVariants = ['decode', 'split', 'tile', 'quad', 'broadcast'] as const;
export type AttentionVariant = (typeof attentionVariants)[number];

/** How attention runs: a variant, with what divides its work. */
export type AttentionPlan =
  | { readonly variant: 'split' }
  | { readonly variant: 'broadcast' }
  | { readonly variant: 'tile' | 'quad'; readonly tile: AttentionTile }
  /** `wanted`: workgroups of a run at most, into which keys are split; default 512. */
  | { readonly variant: 'decode'; readonly wanted?: number };

/** A variant as it runs where nobody says more, for heads of so many vectors. */
export function attentionPlan(variant: AttentionVariant, chunks: number): AttentionPlan {
  return variant === 'tile' || variant === 'quad' ? { variant, tile: attentionTile(variant, chunks) } : { variant };
}

/** How `tile` and `quad` divide a workgroup, for heads of so many vectors. */
export function attentionTile(variant: 'tile' | 'quad', chunks: number): AttentionTile {
  if (variant === 'quad') return { groups: 1, lanes: 4, keysPerThread: 4 };
  // At most three vectors of the head a thread, for four queries: more accumulators take all of a GPU's registers.
  let lanes = 8;
  while (lanes < 64 && chunks > 3 * lanes) lanes *= 2;
  return { groups: (lanes <= 16 ? 64 : 128) / lanes, lanes, keysPerThread: 4 };
}

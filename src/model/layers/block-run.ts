import type { Tensor } from '../../gpu/tensor.ts';
import type { Site } from '../interventions/hooks.ts';

/** Which keys a query sees. */
export type Mask =
  /** Those up to its own position, the last `window` of them where that is given. */
  | { readonly causal: true; readonly window?: number }
  /** All, or those from the first to before the second number of its row of `segments` u32[rows, 2] (`pairs` in all). */
  | { readonly causal: false; readonly segments?: Tensor; readonly pairs?: number };

export interface BlockRun {
  /** `blocks.3`, `vision.blocks.0`: the hooks' names begin with it. */
  readonly name: string;
  readonly site: Site;
  /** `batch` independent sequences of equal length. */
  readonly batch: number;
  readonly mask: Mask;
  /** `ropeTable` of every row's position, [rows, dHead]; without it nothing is rotated. */
  readonly rope?: Tensor;
  /** Keys and values of the `start` positions before these, and where theirs are put. */
  readonly cache?: { readonly keys: Tensor; readonly values: Tensor; readonly start: number };
  /** It is a step of a generation, which is to run again with a position more in the cache (`Dispatch.later`). */
  readonly moves?: boolean;
  /** Stop as soon as the head outputs are there, computing them for the wanted positions alone. */
  readonly headsAlone?: boolean;
}

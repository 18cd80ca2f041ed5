import type { Capabilities } from '../../gpu/capabilities.ts';
import type { MatvecPlan } from './matvec.wgsl.ts';
import type { QuadPlan } from './quad.wgsl.ts';
import type { TilePlan } from './tile.wgsl.ts';
import type { WorkgroupPlan } from './workgroup.wgsl.ts';

export type MatmulPlan = { readonly variant: 'base' } | TilePlan | QuadPlan | WorkgroupPlan | MatvecPlan;
export type MatmulVariant = MatmulPlan['variant'];
export const matmulVariants = ['base', 'tile', 'quad', 'workgroup', 'matvec', 'matvecSubgroup'] as const;

export interface MatmulProblem {
  /** Rows of x. */
  readonly rows: number;
  /** Rows of the weight's part. */
  readonly n: number;
  readonly k: number;
}

export type MatmulDevice = Pick<
  Capabilities,
  'software' | 'subgroups' | 'subgroupMinSize' | 'subgroupMaxSize' | 'maxWorkgroupInvocations' | 'maxWorkgroupStorage'
>;

/** Rows of x up to which the weight is read in order by `matvec`, each thread holding sums for all rows. */
export const matvecRows = 4;

/** Why a variant cannot run, or undefined where it can. */
export function matmulObstacle(
  variant: MatmulVariant,
  { rows, k }: MatmulProblem,
  device: MatmulDevice,
): string | undefined {
  if (variant === 'base') return undefined;
  if (k % 4 !== 0) return `K = ${k} is no multiple of 4`;
  if ((variant === 'quad' || variant === 'matvecSubgroup') && !device.subgroups) return 'the device has no subgroups';
  if ((variant === 'matvec' || variant === 'matvecSubgroup') && rows > matvecRows)
    return `${rows} rows of x, more than ${matvecRows}`;
  return undefined;
}

/** How many quads a workgroup has: those of a subgroup where that is sure, so that none of its lanes idles. */
export const quadsOf = (device: MatmulDevice): number => (hasOneSubgroupSize(device) ? device.subgroupMaxSize / 4 : 1);

/** Whether a workgroup of as many threads is one subgroup, so that sums are added in one order. */
export const hasOneSubgroupSize = (device: MatmulDevice) =>
  device.subgroups && device.subgroupMinSize === device.subgroupMaxSize;

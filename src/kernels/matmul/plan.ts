import type { Capabilities } from '../../gpu/capabilities.ts';
import type { BroadcastPlan } from './broadcast.wgsl.ts';
import { type MatvecPlan, matvecStorage } from './matvec.wgsl.ts';
import type { QuadPlan } from './quad.wgsl.ts';
import { type SubgroupMatrixPlan, subgroupMatrixStorage } from './subgroup-matrix.wgsl.ts';
import type { TilePlan } from './tile.wgsl.ts';
import { type WorkgroupPlan, workgroupStorage } from './workgroup.wgsl.ts';

export type MatmulPlan =
  | { readonly variant: 'base' }
  | TilePlan
  | QuadPlan
  | BroadcastPlan
  | WorkgroupPlan
  | MatvecPlan
  | SubgroupMatrixPlan;
export type MatmulVariant = MatmulPlan['variant'];
export const matmulVariants = [
  'base',
  'tile',
  'quad',
  'broadcast',
  'workgroup',
  'matvec',
  'matvecSubgroup',
  'subgroupMatrix',
] as const;

export interface MatmulProblem {
  /** Rows of x. */
  readonly rows: number;
  /** Rows of the weight's part. */
  readonly n: number;
  readonly k: number;
}

export type MatmulDevice = Pick<
  Capabilities,
  | 'software'
  | 'subgroups'
  | 'subgroupMinSize'
  | 'subgroupMaxSize'
  | 'subgroupMatrix'
  | 'maxWorkgroupInvocations'
  | 'maxWorkgroupStorage'
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
  if (['quad', 'broadcast', 'matvecSubgroup'].includes(variant) && !device.subgroups)
    return 'the device has no subgroups';
  if (variant === 'broadcast' && !hasOneSubgroupSize(device)) return 'the device has subgroups of several sizes';
  if ((variant === 'matvec' || variant === 'matvecSubgroup') && rows > matvecRows)
    return `${rows} rows of x, more than ${matvecRows}`;
  if (variant === 'subgroupMatrix' && !device.subgroupMatrix)
    return 'the device has no subgroup matrices, or f16 arithmetic was not asked for';
  return undefined;
}

/** Why a plan does not fit into a device's workgroups, or undefined where it does. */
export function planObstacle(plan: MatmulPlan, device: MatmulDevice): string | undefined {
  const [threads, storage] = needsOf(plan);
  if (threads > device.maxWorkgroupInvocations) return `the device has fewer than ${threads} threads in a workgroup`;
  if (storage > device.maxWorkgroupStorage) return `the device has less than ${storage} bytes of workgroup memory`;
  return undefined;
}

function needsOf(plan: MatmulPlan): [threads: number, storage: number] {
  switch (plan.variant) {
    case 'workgroup':
      return [plan.threads[0] * plan.threads[1], workgroupStorage(plan)];
    case 'matvec':
    case 'matvecSubgroup':
      return [plan.threads, matvecStorage(plan)];
    case 'subgroupMatrix':
      return [plan.threads, subgroupMatrixStorage(plan)];
    default:
      return [64, 0];
  }
}

/** Whether a workgroup of as many threads is one subgroup, so that sums are added in one order. */
export const hasOneSubgroupSize = (device: MatmulDevice) =>
  device.subgroups && device.subgroupMinSize === device.subgroupMaxSize;

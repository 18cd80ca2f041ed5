import type { Capabilities } from '../../gpu/capabilities.ts';
import { ShapeError } from '../../gpu/errors.ts';
import { cachedText } from '../cached-text.ts';
import { baseThreads, matmulBaseWgsl } from './base.wgsl.ts';
import type { MatmulTraits } from './matmul.wgsl.ts';
import { type MatvecPlan, matvecWgsl } from './matvec.wgsl.ts';
import { matmulQuadWgsl, type QuadPlan } from './quad.wgsl.ts';
import { matmulTileWgsl, type TilePlan, tileExtent } from './tile.wgsl.ts';
import { matmulWorkgroupWgsl, type WorkgroupPlan, workgroupExtent, workgroupStorage } from './workgroup.wgsl.ts';

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

type Device = Pick<
  Capabilities,
  'software' | 'subgroups' | 'subgroupMinSize' | 'subgroupMaxSize' | 'maxWorkgroupInvocations' | 'maxWorkgroupStorage'
>;

/** Rows of x up to which the weight is read in order by `matvec`, each thread holding sums for all rows. */
const matvecRows = 4;

/** Why a variant cannot run, or undefined where it can. */
export function matmulObstacle(variant: MatmulVariant, { rows, k }: MatmulProblem, device: Device): string | undefined {
  if (variant === 'base') return undefined;
  if (k % 4 !== 0) return `K = ${k} is no multiple of 4`;
  if ((variant === 'quad' || variant === 'matvecSubgroup') && !device.subgroups) return 'the device has no subgroups';
  if ((variant === 'matvec' || variant === 'matvecSubgroup') && rows > matvecRows)
    return `${rows} rows of x, more than ${matvecRows}`;
  return undefined;
}

/** The variant and its tile for a problem. Pure: figures behind the choices are in the variants' header comments. */
export function chooseMatmul(problem: MatmulProblem, device: Device, forced?: MatmulVariant): MatmulPlan {
  const variant = forced ?? chooseVariant(problem, device);
  const obstacle = matmulObstacle(variant, problem, device);
  if (obstacle) throw new ShapeError(`matmul variant ${variant}: ${obstacle}`);
  const { rows, n, k } = problem;
  switch (variant) {
    case 'base':
      return { variant };
    case 'tile':
      return { variant, rows: 4, columns: 4 };
    case 'quad':
      // the larger tile takes 0.7 s longer to compile: not repaid by a few products with a small weight
      if (rows < (n * k >= 2 ** 18 ? 128 : 512)) return { variant, rows: rows <= 4 ? 4 : 16, columns: 32, chunk: 1 };
      return { variant, rows: 32, columns: 32, chunk: k % 8 === 0 ? 2 : 1 };
    case 'workgroup':
      return { variant, rows: rows <= 32 ? 4 : 8, columns: 4, threads: [8, 16], depth: 4 };
    case 'matvec':
      return { variant, rows, columns: 4, threads: 64 };
    case 'matvecSubgroup':
      return { variant, rows, columns: device.software ? 8 : 4, threads: device.subgroupMaxSize };
  }
}

function chooseVariant(problem: MatmulProblem, device: Device): MatmulVariant {
  const { rows, k } = problem;
  if (k % 4 !== 0) return 'base';
  const oneSubgroupSize = device.subgroups && device.subgroupMinSize === device.subgroupMaxSize;
  if (device.software && device.subgroups) return rows === 1 && oneSubgroupSize ? 'matvecSubgroup' : 'quad';
  if (device.software) return 'tile';
  if (rows <= matvecRows) return oneSubgroupSize ? 'matvecSubgroup' : 'matvec';
  const block = chooseMatmul(problem, device, 'workgroup') as WorkgroupPlan;
  const fits =
    workgroupStorage(block) <= device.maxWorkgroupStorage &&
    block.threads[0] * block.threads[1] <= device.maxWorkgroupInvocations;
  return fits ? 'workgroup' : 'tile';
}

export const matmulWgsl = cachedText((traits: MatmulTraits, plan: MatmulPlan): string => {
  switch (plan.variant) {
    case 'base':
      return matmulBaseWgsl(traits);
    case 'tile':
      return matmulTileWgsl(traits, plan);
    case 'quad':
      return matmulQuadWgsl(traits, plan);
    case 'workgroup':
      return matmulWorkgroupWgsl(traits, plan);
    case 'matvec':
    case 'matvecSubgroup':
      return matvecWgsl(traits, plan);
  }
});

/** Workgroups that cover y. */
export function matmulWorkgroups(plan: MatmulPlan, { rows, n }: MatmulProblem): number {
  const tiles = (extent: { rows: number; columns: number }) =>
    Math.ceil(rows / extent.rows) * Math.ceil(n / extent.columns);
  switch (plan.variant) {
    case 'base':
      return Math.ceil((rows * n) / baseThreads);
    case 'tile':
      return tiles(tileExtent(plan));
    case 'workgroup':
      return tiles(workgroupExtent(plan));
    default:
      return tiles(plan);
  }
}

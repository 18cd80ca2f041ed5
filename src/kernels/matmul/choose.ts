import { ShapeError } from '../../gpu/errors.ts';
import { cachedText } from '../cached-text.ts';
import { baseThreads, matmulBaseWgsl } from './base.wgsl.ts';
import { matmulBroadcastWgsl } from './broadcast.wgsl.ts';
import { candidateObstacle, type MatmulCandidate, matmulCandidates } from './candidates.ts';
import type { MatmulTraits } from './matmul.wgsl.ts';
import { matvecWgsl } from './matvec.wgsl.ts';
import {
  hasOneSubgroupSize,
  type MatmulDevice,
  type MatmulPlan,
  type MatmulProblem,
  type MatmulVariant,
  matmulObstacle,
  matvecRows,
  planObstacle,
} from './plan.ts';
import { matmulQuadWgsl } from './quad.wgsl.ts';
import { matmulSubgroupMatrixWgsl } from './subgroup-matrix.wgsl.ts';
import { matmulTileWgsl, tileExtent } from './tile.wgsl.ts';
import { matmulWorkgroupWgsl, workgroupExtent } from './workgroup.wgsl.ts';

/** The variant and its tile for a problem. Pure: figures behind the choices are in the variants' header comments. */
export function chooseMatmul(
  problem: MatmulProblem,
  device: MatmulDevice,
  forced?: MatmulVariant | MatmulCandidate,
): MatmulPlan {
  if (forced !== undefined && isCandidate(forced)) {
    const obstacle = candidateObstacle(forced, problem, device);
    if (obstacle) throw new ShapeError(`matmul candidate ${forced}: ${obstacle}`);
    return matmulCandidates[forced](problem, device);
  }
  const variant = forced ?? chooseVariant(problem, device);
  const obstacle = matmulObstacle(variant, problem, device);
  if (obstacle) throw new ShapeError(`matmul variant ${variant}: ${obstacle}`);
  const { rows, n, k } = problem;
  // for adapters without a GPU: the larger tile takes 0.7 s longer to compile, which a few products with a small weight do not repay
  const large = rows >= (n * k >= 2 ** 18 ? 128 : 512);
  const chunk = large && k % 8 === 0 ? 2 : 1;
  switch (variant) {
    case 'base':
      return { variant };
    case 'tile':
      return { variant, rows: 4, columns: 4 };
    case 'quad':
      return { variant, rows: large ? 32 : rows <= 4 ? 4 : 16, columns: 32, chunk };
    case 'broadcast': {
      const threads = device.subgroupMaxSize;
      if (rows <= 16) return { variant, rows: rows <= 4 ? 4 : 16, columns: Math.max(32, threads), chunk, threads };
      return { variant, rows: 32, columns: 8 * threads, chunk, threads };
    }
    case 'workgroup':
      return { variant, rows: rows <= 32 ? 4 : 8, columns: 4, threads: [8, 16], depth: 4 };
    case 'matvec':
      return { variant, rows, columns: 4, threads: 64 };
    case 'matvecSubgroup':
      return { variant, rows, columns: device.software ? 8 : 4, threads: device.subgroupMaxSize };
    case 'subgroupMatrix': {
      const large = Math.ceil(rows / 128) * Math.ceil(n / 128) >= 128; // so that there are enough of them
      const block = device.software ? '32x32' : rows <= 32 ? '32x64' : large ? '128x128' : '64x64';
      return matmulCandidates[`subgroupMatrix ${block}`](problem, device);
    }
  }
}

const isCandidate = (name: MatmulVariant | MatmulCandidate): name is MatmulCandidate =>
  Object.hasOwn(matmulCandidates, name);

function chooseVariant(problem: MatmulProblem, device: MatmulDevice): MatmulVariant {
  const { rows, k } = problem;
  if (k % 4 !== 0) return 'base';
  const oneSubgroupSize = hasOneSubgroupSize(device);
  const fits = (variant: MatmulVariant) => !planObstacle(chooseMatmul(problem, device, variant), device);
  if (rows > matvecRows && device.subgroupMatrix && fits('subgroupMatrix')) return 'subgroupMatrix';
  if (device.software) {
    if (!device.subgroups) return 'tile';
    if (!oneSubgroupSize) return 'quad';
    if (rows === 1) return 'matvecSubgroup';
    return device.subgroupMaxSize > 4 ? 'broadcast' : 'quad';
  }
  if (rows <= matvecRows) return oneSubgroupSize ? 'matvecSubgroup' : 'matvec';
  return fits('workgroup') ? 'workgroup' : 'tile';
}

export const matmulWgsl = cachedText((traits: MatmulTraits, plan: MatmulPlan): string => {
  switch (plan.variant) {
    case 'base':
      return matmulBaseWgsl(traits);
    case 'tile':
      return matmulTileWgsl(traits, plan);
    case 'quad':
      return matmulQuadWgsl(traits, plan);
    case 'broadcast':
      return matmulBroadcastWgsl(traits, plan);
    case 'workgroup':
      return matmulWorkgroupWgsl(traits, plan);
    case 'matvec':
    case 'matvecSubgroup':
      return matvecWgsl(traits, plan);
    case 'subgroupMatrix':
      return matmulSubgroupMatrixWgsl(traits, plan);
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

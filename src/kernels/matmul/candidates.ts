import type { TuningQuestion } from '../../gpu/tuning.ts';
import {
  hasOneSubgroupSize,
  type MatmulDevice,
  type MatmulPlan,
  type MatmulProblem,
  matmulObstacle,
  planObstacle,
} from './plan.ts';
import type { SubgroupMatrixPlan } from './subgroup-matrix.wgsl.ts';
import type { WorkgroupPlan } from './workgroup.wgsl.ts';

type MakePlan = (problem: MatmulProblem, device: MatmulDevice) => MatmulPlan;

const tile =
  (rows: number): MakePlan =>
  () => ({ variant: 'tile', rows, columns: 4 });
const block =
  (rows: number, columns: number, threads: WorkgroupPlan['threads'], depth = 4): MakePlan =>
  () => ({ variant: 'workgroup', rows, columns, threads, depth });
const vector =
  (columns: number, threads: number): MakePlan =>
  ({ rows }) => ({ variant: 'matvec', rows, columns, threads });
/** One subgroup a workgroup: with more the order of the last sums would be open (matvec.wgsl.ts). */
const subgroup =
  (columns: number): MakePlan =>
  ({ rows }, { subgroupMaxSize }) => ({ variant: 'matvecSubgroup', rows, columns, threads: subgroupMaxSize });
const quad =
  (rows: number): MakePlan =>
  () => ({ variant: 'quad', rows, columns: 32, chunk: 1 });
const broadcast =
  (rows: number, columns: number): MakePlan =>
  (_, { subgroupMaxSize }) => ({ variant: 'broadcast', rows, columns, chunk: 1, threads: subgroupMaxSize });

const matrices =
  (rows: number, columns: number, depth: number, subgroups: SubgroupMatrixPlan['subgroups'] = [2, 2]): MakePlan =>
  (_, { subgroupMaxSize, subgroupMatrix }) => ({
    ...{ variant: 'subgroupMatrix', rows, columns, subgroups, depth },
    threads: subgroups[0] * subgroups[1] * subgroupMaxSize,
    matrix: subgroupMatrix!,
  });

/** What a device may be tuned to, by name: variants with sizes of their own. */
export const matmulCandidates = {
  'tile 4x4': tile(4),
  'tile 8x4': tile(8),
  'workgroup 4x4 of 8x16': block(4, 4, [8, 16]),
  'workgroup 8x4 of 8x16': block(8, 4, [8, 16]),
  'workgroup 8x4 of 8x16, 8 deep': block(8, 4, [8, 16], 8),
  'workgroup 4x4 of 16x16': block(4, 4, [16, 16]),
  'workgroup 8x4 of 16x16': block(8, 4, [16, 16]),
  'workgroup 8x8 of 8x8': block(8, 8, [8, 8]),
  'matvec 2 of 64': vector(2, 64),
  'matvec 4 of 64': vector(4, 64),
  'matvec 8 of 64': vector(8, 64),
  'matvec 4 of 128': vector(4, 128),
  'matvecSubgroup 2': subgroup(2),
  'matvecSubgroup 4': subgroup(4),
  'matvecSubgroup 8': subgroup(8),
  'quad 4x32': quad(4),
  'quad 16x32': quad(16),
  'quad 32x32': quad(32),
  'broadcast 4x32': broadcast(4, 32),
  'broadcast 16x32': broadcast(16, 32),
  'broadcast 32x64': broadcast(32, 64),
  'subgroupMatrix 32x32': matrices(32, 32, 16),
  'subgroupMatrix 32x64': matrices(32, 64, 32, [1, 2]),
  'subgroupMatrix 64x64': matrices(64, 64, 32),
  'subgroupMatrix 128x64': matrices(128, 64, 16),
  'subgroupMatrix 128x128': matrices(128, 128, 16),
} as const satisfies Record<string, MakePlan>;

export type MatmulCandidate = keyof typeof matmulCandidates;
export const matmulCandidateNames = Object.keys(matmulCandidates) as MatmulCandidate[];

/** Why a device cannot be tuned to a candidate for a problem, or undefined where it can. */
export function candidateObstacle(
  name: MatmulCandidate,
  problem: MatmulProblem,
  device: MatmulDevice,
): string | undefined {
  const plan = matmulCandidates[name](problem, device);
  const obstacle = matmulObstacle(plan.variant, problem, device);
  if (obstacle) return obstacle;
  if ((plan.variant === 'quad' || plan.variant === 'broadcast') && !device.software)
    return 'it is for adapters without a GPU';
  if (plan.variant === 'broadcast' && plan.columns % plan.threads !== 0)
    return `${plan.columns} columns are not divided by the ${plan.threads} threads of a subgroup`;
  if (plan.variant === 'matvecSubgroup' && !hasOneSubgroupSize(device))
    return 'the device has subgroups of several sizes';
  if (plan.variant === 'subgroupMatrix' && device.software && plan.rows * plan.columns > 32 * 32)
    return 'an adapter without a GPU takes minutes to compile it';
  return planObstacle(plan, device);
}

/** @param format of the weight, by name. */
export const matmulQuestion = (
  { rows, n, k }: MatmulProblem,
  format: string,
  { subgroupMatrix }: Pick<MatmulDevice, 'subgroupMatrix'> = {},
): TuningQuestion => ({
  op: 'matmul',
  sizes: { rows, n, k, format, ...(subgroupMatrix && { arithmetic: 'f16' }) },
  growing: ['rows'],
});

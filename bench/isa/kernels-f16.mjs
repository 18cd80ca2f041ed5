/**
 * Kernels of f16 arithmetic, for GPUs with subgroup matrices: GPUS=amd:navi31 TOGGLES=allow_unsafe_apis all.sh …. From the built package
 * (`npm run build` first).
 */
import { formats } from '../../dist/gpu/formats/index.js';
import { matmulCandidates } from '../../dist/kernels/matmul/candidates.js';
import { matmulWgsl } from '../../dist/kernels/matmul/choose.js';

const subgroupMatrix = { feature: 'chromium-experimental-subgroup-matrix', m: 16, n: 16, k: 16 };
const device = { subgroupMaxSize: 64, subgroupMatrix };

const matmul = (block, format, epilogue = { bias: false, residual: false }) => ({
  name: `matmul.subgroupMatrix${block}.${format}${epilogue.bias ? '.epilogue' : ''}`,
  code: matmulWgsl(
    { ...epilogue, format: formats[format] },
    matmulCandidates[`subgroupMatrix ${block}`]({ rows: 640, n: 4096, k: 4096 }, device),
  ),
  entryPoint: 'main',
});

export const kernels = [
  ...Object.keys(formats).flatMap((format) => ['64x64', '128x128'].map((block) => matmul(block, format))),
  matmul('32x64', 'f16'),
  matmul('64x64', 'f32', { bias: true, residual: true, activation: 'gelu' }),
];

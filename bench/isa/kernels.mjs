/**
 * Kernels for a gate on GPU machine code: an array of { name, code, entryPoint }, from the built package (`npm run build`
 * first). Every variant that is a default on some GPU belongs here.
 */
import { matmulWgsl } from '../../dist/kernels/matmul/choose.js';

const entryPoint = 'main';

const matmul = (name, plan, traits) => ({
  name: `matmul.${name}.${traits.dtype}${traits.bias ? '.epilogue' : ''}`,
  code: matmulWgsl({ bias: false, residual: false, ...traits }, plan),
  entryPoint,
});
const [f32, f16, bf16] = ['f32', 'f16', 'bf16'].map((dtype) => ({ dtype }));
const epilogue = { dtype: 'f32', bias: true, residual: true, activation: 'gelu' };
const block = (rows) => ({ variant: 'workgroup', rows, columns: 4, threads: [8, 16], depth: 4 });
const matvec = (variant, rows) => ({ variant, rows, columns: 4, threads: 64 });

export const kernels = [
  matmul('base', { variant: 'base' }, f32),
  matmul('base', { variant: 'base' }, bf16),
  matmul('tile4x4', { variant: 'tile', rows: 4, columns: 4 }, f32),
  matmul('tile4x4', { variant: 'tile', rows: 4, columns: 4 }, f16),
  ...[f32, f16, bf16, epilogue].map((traits) => matmul('workgroup8x4', block(8), traits)),
  ...[f32, f16].map((traits) => matmul('workgroup4x4', block(4), traits)),
  ...[f32, f16, bf16].map((traits) => matmul('matvecSubgroup.1row', matvec('matvecSubgroup', 1), traits)),
  matmul('matvecSubgroup.4rows', matvec('matvecSubgroup', 4), f16),
  matmul('matvec.1row', matvec('matvec', 1), f16),
  matmul('matvec.4rows', matvec('matvec', 4), f32),
];

import type { Capabilities } from './capabilities.ts';
import { GpuError } from './errors.ts';
import { Gpu } from './gpu.ts';
import { byteSize, type DType, type Tensor } from './tensor.ts';
import type { Tuning } from './tuning.ts';

/** What WebGPU grants on every adapter. */
export const guaranteed: Capabilities = {
  vendor: '',
  architecture: '',
  description: 'what WebGPU grants on every adapter',
  software: false,
  subgroups: false,
  subgroupMinSize: 0,
  subgroupMaxSize: 0,
  shaderF16: false,
  timestamps: false,
  maxBufferSize: 256 * 2 ** 20,
  maxStorageBufferBindingSize: 128 * 2 ** 20,
  maxWorkgroupInvocations: 256,
  maxWorkgroupStorage: 16384,
  maxWorkgroupsPerDimension: 65535,
};

/**
 * A GPU without a device: runs are recorded on it, checked and priced, with the kernels that an adapter of the given
 * capabilities would run, and cannot be submitted. No buffer is too large for it, so that one can see how large it is.
 */
export class DryGpu extends Gpu {
  constructor(like: Capabilities = guaranteed, tuning?: Tuning) {
    super(
      deviceLike(like),
      infoLike(like),
      { ...like, arithmetic: like.subgroupMatrix ? 'f16' : 'f32' },
      false,
      tuning,
    );
  }

  /** A tensor without memory. */
  override tensor(label: string, dtype: DType, shape: readonly number[]): Tensor {
    const size = Math.max(4, byteSize(dtype, shape));
    return { label, dtype, shape, offset: 0, storage: { label, size, buffer: undefined } };
  }
}

function deviceLike(like: Capabilities): GPUDevice {
  const features = new Set<string>();
  if (like.subgroups) features.add('subgroups');
  if (like.shaderF16) features.add('shader-f16');
  if (like.subgroupMatrix) features.add(like.subgroupMatrix.feature);
  const known: Record<string, unknown> = {
    features,
    limits: {
      maxBufferSize: Number.POSITIVE_INFINITY,
      maxStorageBufferBindingSize: Number.POSITIVE_INFINITY,
      maxComputeInvocationsPerWorkgroup: like.maxWorkgroupInvocations,
      maxComputeWorkgroupStorageSize: like.maxWorkgroupStorage,
      maxComputeWorkgroupsPerDimension: like.maxWorkgroupsPerDimension,
    },
    lost: new Promise(() => {}),
  };
  const refuse = (_: unknown, name: string | symbol) => {
    if (typeof name === 'string' && Object.hasOwn(known, name)) return known[name];
    throw new GpuError('a dry run has no device: it can be recorded and priced, not submitted');
  };
  return new Proxy({}, { get: refuse }) as GPUDevice;
}

function infoLike(like: Capabilities): GPUAdapterInfo {
  const { vendor, architecture, description, subgroupMinSize, subgroupMaxSize, subgroupMatrix: matrix } = like;
  return {
    vendor,
    architecture,
    device: '',
    description,
    subgroupMinSize,
    subgroupMaxSize,
    isFallbackAdapter: like.software,
    subgroupMatrixConfigs: matrix && [
      { componentType: 'f16', resultComponentType: 'f32', M: matrix.m, N: matrix.n, K: matrix.k },
    ],
  } as unknown as GPUAdapterInfo;
}

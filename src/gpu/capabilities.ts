import { type SubgroupMatrix, subgroupMatrixFeatures, subgroupMatrixOf } from './subgroup-matrix.ts';

/** In what precision products of many rows are computed: f32, or f16 with sums in f32. */
export type Arithmetic = 'f32' | 'f16';

/** What an adapter and its device can do: plain values, so that the choice of a kernel variant is a pure function. */
export interface Capabilities {
  readonly vendor: string;
  readonly architecture: string;
  readonly description: string;
  /** True for SwiftShader, lavapipe and the like: results are right, speed says nothing about any GPU. */
  readonly software: boolean;
  readonly subgroups: boolean;
  /** 0 without subgroups. Never assume one size: it may differ between pipelines of one device. */
  readonly subgroupMinSize: number;
  readonly subgroupMaxSize: number;
  readonly shaderF16: boolean;
  /** Only where f16 arithmetic was asked for: it is then what many rows are multiplied with. */
  readonly subgroupMatrix?: SubgroupMatrix;
  /** Whether dispatches can be timed (WebGPU `timestamp-query`). */
  readonly timestamps: boolean;
  /** Limits of the device; sizes in bytes. */
  readonly maxBufferSize: number;
  readonly maxStorageBufferBindingSize: number;
  readonly maxWorkgroupInvocations: number;
  readonly maxWorkgroupStorage: number;
  readonly maxWorkgroupsPerDimension: number;
}

/** Features that some kernel or tool of ours has a use for; requested where the adapter has them. */
const usefulFeatures: GPUFeatureName[] = ['subgroups', 'timestamp-query', 'shader-f16'];

const usefulLimits = [
  'maxBufferSize',
  'maxStorageBufferBindingSize',
  'maxComputeInvocationsPerWorkgroup',
  'maxComputeWorkgroupSizeX',
  'maxComputeWorkgroupSizeY',
  'maxComputeWorkgroupStorageSize',
  'maxStorageBuffersPerShaderStage',
] as const;

/** The device descriptor that asks for all an adapter has of what we use, for f16 arithmetic only where that is wanted. */
export function deviceDescriptor(adapter: GPUAdapter, arithmetic: Arithmetic = 'f32'): GPUDeviceDescriptor {
  const features = new Set(usefulFeatures.filter((f) => adapter.features.has(f)));
  if (arithmetic === 'f16')
    for (const name of subgroupMatrixFeatures(adapter.features)) features.add(name as GPUFeatureName);
  return {
    label: 'headlight',
    requiredFeatures: [...features],
    requiredLimits: Object.fromEntries(usefulLimits.map((name) => [name, adapter.limits[name]])),
  };
}

// Adapters report software in three ways, none of them everywhere.
const softwareNames = /swiftshader|llvmpipe|lavapipe|softpipe|basic render|software/i;

/** `asked.maxStorageBufferBindingSize` makes small tensors exercise the row split of big weights. */
export function describeDevice(
  device: GPUDevice,
  info: GPUAdapterInfo,
  asked: { maxStorageBufferBindingSize?: number; arithmetic?: Arithmetic } = {},
): Capabilities {
  const subgroups = device.features.has('subgroups');
  return {
    vendor: info.vendor,
    architecture: info.architecture,
    description: [info.device, info.description].filter(Boolean).join(' ').trim(),
    software: info.isFallbackAdapter || softwareNames.test(`${info.architecture} ${info.device} ${info.description}`),
    subgroups,
    subgroupMinSize: subgroups ? info.subgroupMinSize : 0,
    subgroupMaxSize: subgroups ? info.subgroupMaxSize : 0,
    shaderF16: device.features.has('shader-f16'),
    subgroupMatrix: asked.arithmetic === 'f16' ? subgroupMatrixOf(device.features, info) : undefined,
    timestamps: device.features.has('timestamp-query'),
    maxBufferSize: device.limits.maxBufferSize,
    maxStorageBufferBindingSize: Math.min(
      device.limits.maxStorageBufferBindingSize,
      asked.maxStorageBufferBindingSize ?? Number.POSITIVE_INFINITY,
    ),
    maxWorkgroupInvocations: device.limits.maxComputeInvocationsPerWorkgroup,
    maxWorkgroupStorage: device.limits.maxComputeWorkgroupStorageSize,
    maxWorkgroupsPerDimension: device.limits.maxComputeWorkgroupsPerDimension,
  };
}

/** What messages call an adapter. Browsers give no description. */
export const adapterName = ({
  description,
  architecture,
  vendor,
}: Pick<Capabilities, 'description' | 'architecture' | 'vendor'>): string => description || architecture || vendor;

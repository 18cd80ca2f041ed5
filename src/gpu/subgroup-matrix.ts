// Matrices that a subgroup multiplies as one, f16 times f16 with f32 sums. The feature is no standard yet: Chromium and Dawn have it under
// a name of their own, the proposal under another (https://github.com/gpuweb/gpuweb/blob/main/proposals/subgroup-matrix.md).

/** The sizes that a device multiplies, and under which name it has the feature. */
export interface SubgroupMatrix {
  readonly feature: 'subgroup-matrix' | 'chromium-experimental-subgroup-matrix';
  /** A matrix [m, k] times one [k, n]. */
  readonly m: number;
  readonly n: number;
  readonly k: number;
}

const names = {
  'subgroup-matrix': { extension: 'subgroup_matrix', diagnostic: 'subgroup_matrix_uniformity' },
  'chromium-experimental-subgroup-matrix': {
    extension: 'chromium_experimental_subgroup_matrix',
    diagnostic: 'chromium.subgroup_matrix_uniformity',
  },
} as const;

/**
 * What WGSL source with such matrices begins with. The diagnostic asks for control flow that is uniform in a workgroup; in a subgroup is
 * enough, of which WGSL has no analysis.
 */
export const subgroupMatrixDirectives = ({ feature }: SubgroupMatrix): string => `enable f16;
enable subgroups;
enable ${names[feature].extension};
diagnostic(off, ${names[feature].diagnostic});`;

type Features = Pick<ReadonlySet<string>, 'has'>;

/** What `GPUAdapterInfo` says where there is the feature; `@webgpu/types` does not know it. */
interface WithConfigs {
  readonly subgroupMatrixConfigs?: Iterable<{
    readonly componentType: string;
    readonly resultComponentType: string;
    readonly M: number;
    readonly N: number;
    readonly K: number;
  }>;
}

/** The features that a device must have, of those that the adapter has; with one name missing, none. */
export function subgroupMatrixFeatures(adapter: Features): readonly string[] {
  const feature = Object.keys(names).find((name) => adapter.has(name));
  return feature ? ['shader-f16', 'subgroups', feature].filter((name) => adapter.has(name)) : [];
}

/** The first of a device's sizes that our kernel has code for: adapters list those first that they prefer. */
export function subgroupMatrixOf(device: Features, info: object): SubgroupMatrix | undefined {
  const [f16, subgroups, feature] = subgroupMatrixFeatures(device);
  if (!f16 || !subgroups || !feature) return undefined;
  const sizes = [8, 16];
  const configs = [...((info as WithConfigs).subgroupMatrixConfigs ?? [])];
  const config = configs.find(
    ({ componentType, resultComponentType, M, N, K }) =>
      componentType === 'f16' && resultComponentType === 'f32' && [M, N, K].every((size) => sizes.includes(size)),
  );
  return config && { feature: feature as SubgroupMatrix['feature'], m: config.M, n: config.N, k: config.K };
}

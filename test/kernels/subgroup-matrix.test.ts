// f16 arithmetic: products that matrix units compute. They run where an adapter has subgroup matrices (lavapipe from Mesa 26 on, and
// GPUs); that the WGSL source compiles is tested everywhere, by Dawn without an adapter.
import { afterAll, beforeAll, describe, expect, it, type TestContext } from 'vitest';
import { create } from 'webgpu';
import { DryGpu, guaranteed } from '../../src/gpu/dry-gpu.ts';
import { GpuError } from '../../src/gpu/errors.ts';
import { f16 } from '../../src/gpu/formats/f16.ts';
import { f32 } from '../../src/gpu/formats/f32.ts';
import { formats } from '../../src/gpu/formats/index.ts';
import { type Gpu, openGpu } from '../../src/gpu/gpu.ts';
import { type SubgroupMatrix, subgroupMatrixDirectives, subgroupMatrixOf } from '../../src/gpu/subgroup-matrix.ts';
import { shapeClass } from '../../src/gpu/tuning.ts';
import { buffersOf } from '../../src/gpu/weight.ts';
import {
  candidateObstacle,
  type MatmulCandidate,
  matmulCandidateNames,
  matmulCandidates,
  matmulQuestion,
} from '../../src/kernels/matmul/candidates.ts';
import { chooseMatmul, matmulWgsl } from '../../src/kernels/matmul/choose.ts';
import { matmul } from '../../src/kernels/matmul/matmul.ts';
import { type MatmulSizes, matmulProblem } from '../../src/kernels/matmul/problem.ts';
import { VisionLanguageModel } from '../../src/model/vision-language-model.ts';
import { fixturePath } from '../fixtures.ts';
import { sharedDevice } from '../gpu.ts';
import { expectSolved, weightOf } from './check.ts';

const candidates = matmulCandidateNames.filter((name) => name.startsWith('subgroupMatrix'));
const matrix: SubgroupMatrix = { feature: 'chromium-experimental-subgroup-matrix', m: 16, n: 16, k: 16 };
const amd = {
  ...{ ...guaranteed, subgroups: true, subgroupMinSize: 32, subgroupMaxSize: 64, shaderF16: true },
  subgroupMatrix: matrix,
};

let gpu: Gpu | undefined;
let problem: string | undefined;
beforeAll(async () => {
  gpu = await openGpu({ arithmetic: 'f16' }).catch((e) => {
    if (!(e instanceof GpuError)) throw e;
    problem = e.message;
    return undefined;
  });
});
afterAll(() => gpu?.dispose());

const device = (context: TestContext): Gpu => {
  context.skip(!gpu, problem);
  return gpu!;
};

describe.each(candidates)('%s', (variant) => {
  const check = (context: TestContext, sizes: MatmulSizes, bound?: number) => {
    const obstacle = candidateObstacle(
      variant,
      { rows: sizes.m, n: sizes.n, k: sizes.k },
      device(context).capabilities,
    );
    context.skip(obstacle !== undefined, obstacle);
    return expectSolved<MatmulCandidate>(device(context), matmulProblem(sizes), { variant, bound });
  };

  it('gives the product at sizes that its blocks do not divide', async (context) => {
    for (const [m, k, n] of [
      [5, 4, 3],
      [33, 36, 65],
      [131, 68, 130],
    ])
      await check(context, { m, k, n, format: f32 });
  });
  it.for(Object.values(formats))('takes weights of $name', (format, context) =>
    check(context, { m: 35, k: 96, n: 70, format }),
  );
  it('adds up in f32', (context) => check(context, { m: 35, k: 4096, n: 35, format: f16, halves: true }, 1e-12));
  it('takes bias, activation, residual and weights in parts', (context) =>
    check(context, { m: 37, k: 40, n: 75, format: f32, bias: true, residual: true, activation: 'silu', parts: 3 }));
});

describe('a device with f16 arithmetic', () => {
  it('takes it for many rows, and f32 for a few', (context) => {
    const kernels = (m: number) => {
      const rec = device(context).record('run');
      const { prepare } = matmulProblem({ m, k: 64, n: 64, format: f32 });
      prepare((...tensor) => rec.input(...tensor))(rec);
      return rec.recorded.map(({ kernel }) => kernel);
    };
    expect(kernels(60)[0]).toMatch(/^matmul\.subgroupMatrix/);
    expect(kernels(1)[0]).toMatch(/^matmul\.matvec/);
  });

  it('is part of the precision that features and classifiers are told apart by', async (context) => {
    const model = await VisionLanguageModel.load(fixturePath('families/llama-text-f32'), { gpu: device(context) });
    expect(model.precision).toBe('arithmetic=f16');
    model.destroy();
    const packed = await VisionLanguageModel.load(fixturePath('families/llama-text-f32'), {
      ...{ gpu: device(context), weights: { decoder: 'f16' } },
    });
    expect(packed.precision).toBe('decoder=f16,arithmetic=f16');
    packed.destroy();
  });

  it('gives no number for what f16 cannot hold', async (context) => {
    const on = device(context);
    const weight = weightOf(on, 'w', [4, 4], f32, new Float32Array(16).fill(1));
    const rec = on.record('overflow');
    const x = rec.input(
      'x',
      'f32',
      [8, 4],
      new Float32Array(32).map((_, i) => (i === 5 ? -70000 : 1)),
    );
    const y = rec.read(matmul(rec, { x, weight, label: 'y' }));
    await rec.submit();
    expect([...y.f32].map(Number.isFinite)).toEqual(Array.from({ length: 32 }, (_, i) => Math.floor(i / 4) !== 1));
    on.destroy(...buffersOf(weight));
  });
});

describe('without an adapter', () => {
  it('compiles for every size that devices may have', async () => {
    const instance = create(['backend=null', 'enable-dawn-features=allow_unsafe_apis']);
    const adapter = (await instance.requestAdapter())!;
    const features = ['shader-f16', 'subgroups', matrix.feature] as GPUFeatureName[];
    const nothing = await adapter.requestDevice({ requiredFeatures: features });
    const { subgroupMaxSize } = adapter.info;
    expect(subgroupMaxSize).toBe(128);
    const traits = { bias: true, residual: true, activation: 'gelu' as const };
    const sizes = [8, 16];
    for (const name of candidates)
      for (const m of sizes)
        for (const n of sizes)
          for (const k of sizes) {
            const like = { ...amd, subgroupMaxSize, subgroupMatrix: { ...matrix, m, n, k } };
            const plan = matmulCandidates[name]({ rows: 9, n: 9, k: 9 }, like);
            // four subgroups of 128 are more threads than are guaranteed: as many as there would be of 64
            const code = matmulWgsl({ ...traits, format: m === n ? f16 : formats.q4 }, {
              ...plan,
              threads: 256,
            } as typeof plan);
            const module = nothing.createShaderModule({ code });
            const { messages } = await module.getCompilationInfo();
            expect(
              messages.map(({ message }) => message),
              `${name} ${m} ${n} ${k}`,
            ).toEqual([]);
            await nothing.createComputePipelineAsync({ layout: 'auto', compute: { module, entryPoint: 'main' } });
          }
    nothing.destroy();
  });
});

describe('subgroupMatrixOf', () => {
  const has = (...names: string[]) => new Set(['shader-f16', 'subgroups', ...names]);
  const config = (componentType: string, resultComponentType: string, M: number, N: number, K: number) => ({
    ...{ componentType, resultComponentType, M, N, K },
  });
  const subgroupMatrixConfigs = [
    config('f16', 'f16', 16, 16, 16),
    config('f16', 'f32', 32, 8, 16),
    config('f16', 'f32', 8, 16, 16),
    config('f16', 'f32', 16, 16, 16),
  ];

  it('takes the first configuration that sums in f32 and has code', () => {
    expect(subgroupMatrixOf(has(matrix.feature), { subgroupMatrixConfigs })).toEqual({ ...matrix, m: 8 });
    expect(subgroupMatrixOf(has(matrix.feature), {})).toBeUndefined();
    expect(
      subgroupMatrixOf(has(matrix.feature), { subgroupMatrixConfigs: subgroupMatrixConfigs.slice(0, 2) }),
    ).toBeUndefined();
    expect(subgroupMatrixOf(new Set([matrix.feature]), { subgroupMatrixConfigs })).toBeUndefined();
    expect(subgroupMatrixOf(has(), { subgroupMatrixConfigs })).toBeUndefined();
  });

  it('prefers the name of the standard, and says it in WGSL', () => {
    const both = subgroupMatrixOf(has(matrix.feature, 'subgroup-matrix'), { subgroupMatrixConfigs })!;
    expect(both.feature).toBe('subgroup-matrix');
    expect(subgroupMatrixDirectives(both)).toContain('enable subgroup_matrix;');
    expect(subgroupMatrixDirectives(both)).not.toContain('chromium');
    expect(subgroupMatrixDirectives(matrix)).toContain('diagnostic(off, chromium.subgroup_matrix_uniformity);');
  });
});

describe('what is chosen', () => {
  const plan = (rows: number, n = 512, k = 512, like: typeof amd = amd) => chooseMatmul({ rows, n, k }, like);

  it('has blocks as large as keep a GPU busy', () => {
    expect(plan(32)).toMatchObject({ variant: 'subgroupMatrix', rows: 32, columns: 64, threads: 128 });
    expect(plan(640)).toMatchObject({ variant: 'subgroupMatrix', rows: 64, columns: 64, threads: 256 });
    expect(plan(640, 4096)).toMatchObject({ variant: 'subgroupMatrix', rows: 128, columns: 128, matrix });
  });
  it('is f32 for a few rows, for odd K, and where a workgroup cannot be so large', () => {
    expect(plan(4).variant).toBe('matvec');
    expect(plan(60, 512, 513).variant).toBe('base');
    expect(plan(60, 512, 512, { ...amd, subgroupMaxSize: 128 }).variant).toBe('workgroup');
  });
  it('is never f16 unasked', () => {
    const { subgroupMatrix: _, ...unasked } = amd;
    expect(chooseMatmul({ rows: 640, n: 4096, k: 4096 }, unasked).variant).toBe('workgroup');
    expect(() => chooseMatmul({ rows: 60, n: 8, k: 8 }, unasked, 'subgroupMatrix 64x64')).toThrow(
      'matmul candidate subgroupMatrix 64x64: the device has no subgroup matrices, or f16 arithmetic was not asked for',
    );
  });
  it('is tuned apart', () => {
    const asked = (like?: typeof amd) => shapeClass(matmulQuestion({ rows: 60, n: 8, k: 8 }, 'f16', like));
    expect(asked()).toBe('rows up to 64, n 8, k 8, format f16');
    expect(asked(amd)).toBe('rows up to 64, n 8, k 8, format f16, arithmetic f16');
  });
  it('is what a dry run of such an adapter records', () => {
    const gpu = new DryGpu(amd);
    expect(gpu.capabilities.subgroupMatrix).toEqual(matrix);
    expect(new DryGpu(guaranteed).capabilities.subgroupMatrix).toBeUndefined();
  });
});

describe('openGpu', () => {
  it('refuses f16 where a device was opened without', async () => {
    const device = await sharedDevice();
    await expect(openGpu({ device, arithmetic: 'f16' })).rejects.toThrow(
      /^arithmetic f16: .* has no subgroup matrices that multiply f16 into f32; leave it out, and f32 runs/,
    );
    await expect(openGpu({ device, arithmetic: 'f64' as 'f32' })).rejects.toThrow('arithmetic f64: give f32 or f16');
  });
});

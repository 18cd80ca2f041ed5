import { beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { ShapeError } from '../../src/kernels/errors.ts';
import { chooseNorm, layerNorm, normCost, normScale, rmsNorm } from '../../src/kernels/norm/norm.ts';
import type { NormVariant } from '../../src/kernels/norm/norm.wgsl.ts';
import { referenceNorm } from '../../src/kernels/norm/reference.ts';
import { useGpu } from '../gpu.ts';
import { guarded, nmse, random, readGuarded } from './check.ts';

const gpu = useGpu();
// So few that most shapes take the second dimension of workgroups, as more than 65535 of them do.
beforeAll(() => void Object.assign(gpu().capabilities, { maxWorkgroupsPerDimension: 16 }));

// Rows, columns, and what is added to numbers of [-1, 1): a mean that dwarfs the spread is where variances cancel.
type Shape = [rows: number, columns: number, offset: number];
const shapes: Shape[] = [
  [1, 1, 0],
  [3, 2, 0],
  [5, 17, 0],
  [61, 128, 0],
  [7, 131, 10],
  [2, 1024, 1000],
  [3, 4099, 100],
  [1, 8192, 10_000],
];
// 0 is the device's smallest subgroup. The 256 lanes that GPUs get take SwiftShader seconds to compile: one test at the end.
const variants: [NormVariant['reduce'], number, Shape[]][] = [
  ['subgroup', 0, shapes],
  ['workgroup', 4, shapes],
  ['workgroup', 32, shapes.filter(([rows]) => rows === 3)],
];
const cases = variants.flatMap(([reduce, lanes, some]) => some.map((shape) => [reduce, lanes, ...shape] as const));

describe.each(cases)('%s %i: norms of [%i, %i] + %f', (reduce, lanes, rows, columns, offset) => {
  const eps = 1e-5;
  let variant: NormVariant;
  beforeEach(({ skip }) => {
    const { subgroups, subgroupMinSize } = gpu().capabilities;
    skip(reduce === 'subgroup' && !subgroups, 'this adapter has no subgroups');
    variant = { reduce, lanes: lanes || subgroupMinSize };
  });
  const x = random(rows * columns, rows + columns).map((v) => v + offset);
  const weight = random(columns, 1);
  const bias = random(columns, 2);

  it('layerNorm', async () => {
    const recorder = gpu().record('layerNorm', { bindToEnd: true });
    const out = guarded(gpu(), 'out', 'f32', [rows, columns]);
    layerNorm(recorder, {
      x: recorder.input('x', 'f32', [rows, columns], x),
      weight: recorder.input('weight', 'f32', [columns], weight),
      bias: recorder.input('bias', 'f32', [columns], bias),
      eps,
      label: 'norm',
      out,
      variant,
    });
    const expected = referenceNorm('layer', x, columns, eps).normalized.map(
      (v, i) => v * weight[i % columns] + bias[i % columns],
    );
    expect(nmse(await readGuarded(recorder, out), expected)).toBeLessThan(1e-7);
    gpu().destroy(out);
  });

  it('rmsNorm', async () => {
    const recorder = gpu().record('rmsNorm', { bindToEnd: true });
    const out = guarded(gpu(), 'out', 'f32', [rows, columns]);
    rmsNorm(recorder, {
      x: recorder.input('x', 'f32', [rows, columns], x),
      weight: recorder.input('weight', 'f32', [columns], weight),
      eps,
      label: 'norm',
      out,
      variant,
    });
    const expected = referenceNorm('rms', x, columns, eps).normalized.map((v, i) => v * weight[i % columns]);
    expect(nmse(await readGuarded(recorder, out), expected)).toBeLessThan(1e-7);
    gpu().destroy(out);
  });

  it.each(['layer', 'rms'] as const)('%sNorm by scales that are given', async (kind) => {
    const recorder = gpu().record('rescaled', { bindToEnd: true });
    const out = guarded(gpu(), 'out', 'f32', [rows, columns]);
    const given = random(rows, 4).map((v) => v + 2);
    const args = {
      x: recorder.input('x', 'f32', [rows, columns], x),
      weight: recorder.input('weight', 'f32', [columns], weight),
      scales: recorder.input('scales', 'f32', [rows, 1], given),
      eps,
      label: 'norm',
      out,
      variant,
    };
    if (kind === 'rms') rmsNorm(recorder, args);
    else layerNorm(recorder, { ...args, bias: recorder.input('bias', 'f32', [columns], bias) });
    const { normalized, scales } = referenceNorm(kind, x, columns, eps);
    const expected = normalized.map((v, i) => {
      const [row, c] = [Math.floor(i / columns), i % columns];
      return ((v * scales[row]) / given[row]) * weight[c] + (kind === 'layer' ? bias[c] : 0);
    });
    expect(nmse(await readGuarded(recorder, out), expected)).toBeLessThan(1e-7);
    gpu().destroy(out);
  });

  it.each(['layer', 'rms'] as const)('normScale %s', async (kind) => {
    const recorder = gpu().record('normScale', { bindToEnd: true });
    const out = guarded(gpu(), 'out', 'f32', [rows, 1]);
    normScale(recorder, { x: recorder.input('x', 'f32', [rows, columns], x), eps, kind, label: 'scale', out, variant });
    expect(nmse(await readGuarded(recorder, out), referenceNorm(kind, x, columns, eps).scales)).toBeLessThan(1e-7);
    gpu().destroy(out);
  });
});

describe('norms', () => {
  it('add up what 256 lanes have', async () => {
    const x = random(2 * 1023, 1).map((v) => v + 10);
    const recorder = gpu().record('256 lanes');
    const variant = { reduce: 'workgroup', lanes: 256 } as const;
    const input = recorder.input('x', 'f32', [2, 1023], x);
    const scale = recorder.read(normScale(recorder, { x: input, eps: 1e-5, kind: 'layer', label: 'scale', variant }));
    await recorder.submit();
    expect(nmse(scale.f32, referenceNorm('layer', x, 1023, 1e-5).scales)).toBeLessThan(1e-7);
  });

  it('stay finite on a row of zeros', async () => {
    const recorder = gpu().record('zeros');
    const x = recorder.input('x', 'f32', [1, 5], new Float32Array(5));
    const weight = recorder.input('weight', 'f32', [5], new Float32Array(5).fill(1));
    const y = recorder.read(rmsNorm(recorder, { x, weight, eps: 1e-6, label: 'norm' }));
    await recorder.submit();
    expect(y.f32).toEqual(new Float32Array(5));
  });

  it('choose by what the device has', () => {
    const gpu = { software: false, subgroupMinSize: 32, maxWorkgroupInvocations: 1024 };
    expect(chooseNorm(1024, gpu)).toEqual({ reduce: 'subgroup', lanes: 32 });
    expect(chooseNorm(1025, gpu)).toEqual({ reduce: 'workgroup', lanes: 256 });
    const bare = { ...gpu, subgroupMinSize: 0 };
    expect(chooseNorm(130, bare)).toEqual({ reduce: 'workgroup', lanes: 64 });
    expect(chooseNorm(3, bare)).toEqual({ reduce: 'workgroup', lanes: 4 });
    expect(chooseNorm(8192, { ...bare, maxWorkgroupInvocations: 128 })).toEqual({ reduce: 'workgroup', lanes: 128 });
    const software = { ...gpu, software: true, subgroupMinSize: 4 };
    expect(chooseNorm(4096, software)).toEqual({ reduce: 'subgroup', lanes: 4 });
    expect(chooseNorm(4096, { ...software, subgroupMinSize: 0 })).toEqual({ reduce: 'workgroup', lanes: 4 });
  });

  it('count a read and a write', () => {
    expect(normCost('rms', 10, 128)).toEqual({ flops: 5120, bytes: 4 * 128 * 21 });
  });

  it('name the tensor of the wrong shape', () => {
    const recorder = gpu().record('wrong');
    const x = recorder.temp('x', 'f32', [2, 8]);
    const weight = recorder.temp('ln.weight', 'f32', [7]);
    expect(() => rmsNorm(recorder, { x, weight, eps: 1e-6, label: 'norm' })).toThrow(
      new ShapeError('ln.weight: expected [8], got [7] (in rmsNorm)'),
    );
  });
});

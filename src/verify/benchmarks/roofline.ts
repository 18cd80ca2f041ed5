import type { Gpu } from '../../gpu/gpu.ts';
import { type Dispatch, read, readWrite } from '../../gpu/recorder.ts';

/** What the device reaches in the two simplest kernels: multiply-adds in registers, and a copy. */
export interface Roofline {
  readonly gflops: number;
  readonly gbps: number;
}

/** Independent sums of four elements in each thread, so that the latency of one multiply-add hides behind others. */
const sums = 8;
const steps = 256;
const multiplyAdd = /* wgsl */ `
@group(0) @binding(0) var<storage, read> x: array<vec4f>;
@group(0) @binding(1) var<storage, read_write> y: array<f32>;
@compute @workgroup_size(64) fn main(@builtin(global_invocation_id) id: vec3u) {
  let a = x[0];
  let b = x[1];
  ${Array.from({ length: sums }, (_, i) => `var s${i} = vec4f(f32(id.x) + ${i}.0);`).join(' ')}
  for (var i = 0u; i < ${steps}u; i++) {
    ${Array.from({ length: sums }, (_, i) => `s${i} = fma(s${i}, a, b); s${i} = fma(s${i}, b, a);`).join(' ')}
  }
  y[id.x] = dot(${Array.from({ length: sums }, (_, i) => `s${i}`).join(' + ')}, vec4f(1.0));
}`;

const copy = /* wgsl */ `
@group(0) @binding(0) var<storage, read> x: array<vec4f>;
@group(0) @binding(1) var<storage, read_write> y: array<vec4f>;
@compute @workgroup_size(64) fn main(@builtin(global_invocation_id) id: vec3u) { y[id.x] = x[id.x]; }`;

/**
 * Measures both. The best of a few turns, as it stands for what is possible. A kernel that the compiler turns into better code
 * than these two can come out above 100 %.
 */
export async function measureRoofline(gpu: Gpu, clock: () => number): Promise<Roofline> {
  const { software } = gpu.capabilities;
  const groups = software ? 16 : 16384;
  const numbers = software ? 2 ** 20 : Math.min(2 ** 24, gpu.capabilities.maxStorageBufferBindingSize / 4);
  const x = gpu.tensor('roofline.x', 'f32', [numbers], new Float32Array(numbers).fill(0.5));
  const y = gpu.tensor('roofline.y', 'f32', [numbers]);
  const bindings = [read(x), readWrite(y)];
  const rest = { label: 'roofline', bindings };
  const flops = groups * 64 * steps * sums * 4 * 2 * 2;
  const bytes = 8 * numbers;
  const best = async (dispatch: Dispatch): Promise<number> => {
    let fastest = Number.POSITIVE_INFINITY;
    for (let i = 0; i < 5; i++) {
      const recorder = gpu.record('roofline');
      for (let j = 0; j < 4; j++) recorder.dispatch(dispatch);
      const start = clock();
      await recorder.submit();
      await gpu.wait(gpu.device.queue.onSubmittedWorkDone());
      if (i > 0) fastest = Math.min(fastest, (clock() - start) / 4); // the first compiles
    }
    return fastest;
  };
  const arithmetic = { ...rest, kernel: 'roofline.fma', code: multiplyAdd, cost: { flops, bytes: 0 } };
  const streaming = { ...rest, kernel: 'roofline.copy', code: copy, cost: { flops: 0, bytes } };
  const gflops = flops / (await best({ ...arithmetic, workgroups: [groups] })) / 1e6;
  const gbps = bytes / (await best({ ...streaming, workgroups: [Math.min(65535, numbers / 256)] })) / 1e6;
  gpu.destroy(x, y);
  return { gflops, gbps };
}

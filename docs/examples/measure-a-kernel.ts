// For a kernel engineer: run one kernel, check it against arithmetic in doubles, and see what a whole forward spends where.
// Run: npx tsx -C headlight-source docs/examples/measure-a-kernel.ts
import { readFile } from 'node:fs/promises';
import { openFolder, openGpu, Profiler, VisionLanguageModel } from 'headlight-vlm';
import { f32 } from '../../src/gpu/formats/f32.ts';
import { makeWeight } from '../../src/gpu/weight.ts';
import { matmul } from '../../src/kernels/matmul/matmul.ts';

const gpu = await openGpu();
const [m, k, n] = [5, 64, 96];
const x = Float32Array.from({ length: m * k }, (_, i) => Math.sin(i));
const w = Float32Array.from({ length: n * k }, (_, i) => Math.cos(i));
const rec = gpu.record('example');
const packed = [f32.pack(w, [n, k])];
const weight = makeWeight({ label: 'w', format: f32, shape: [n, k], packed }, (...tensor) => gpu.tensor(...tensor));
const y = rec.read(matmul(rec, { x: rec.input('x', 'f32', [m, k], x), weight, label: 'example' }));
console.log(`${rec.dispatches} dispatch, ${rec.price()} bytes of arena`);
await rec.submit();
let worst = 0;
for (let i = 0; i < m; i++)
  for (let j = 0; j < n; j++) {
    let sum = 0;
    for (let d = 0; d < k; d++) sum += x[i * k + d] * w[j * k + d];
    worst = Math.max(worst, Math.abs(sum - y.f32[i * n + j]));
  }
console.log(`largest error ${worst.toExponential(1)}`);

const model = await VisionLanguageModel.load(await openFolder('weights/tiny-llava'), { gpu });
const folder = 'weights/tiny-llava/tasks';
const row = JSON.parse((await readFile(`${folder}/novel-words.test.jsonl`, 'utf8')).split('\n')[0]);
const input = await model.input({
  images: [new Uint8Array(await readFile(`${folder}/${row.image}`))],
  prompt: row.question,
});
const profiler = new Profiler(gpu);
await model.with({ profiler }).runWithCache(input, { namesFilter: 'logits', posSlice: -1 });
for (const { kernel, count, nanoseconds, flops } of profiler.byKernel())
  console.log(
    `${kernel.padEnd(28)} ${String(count).padStart(3)} x  ${(nanoseconds / 1e6).toFixed(2)} ms  ${(flops / nanoseconds).toFixed(2)} GFLOP/s`,
  );
model.destroy();
gpu.dispose();

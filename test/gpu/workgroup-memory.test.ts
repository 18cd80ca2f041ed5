// WGSL promises that workgroup memory begins as zeros. On the software adapter Dawn sees to it in another way (node-gpu.ts).
import { expect, it } from 'vitest';
import { readWrite } from '../../src/gpu/recorder.ts';
import { useGpu } from '../gpu.ts';

const gpu = useGpu();

const words = 2048; // 8 KiB
/** Each thread tells the bits of the words that it finds, and leaves none at zero for the workgroup that comes next. */
const code = /* wgsl */ `
struct Inner { at: vec3u, last: u32 }
@group(0) @binding(0) var<storage, read_write> out: array<u32>;
var<workgroup> memory: array<u32, ${words - 4}>;
var<workgroup> inner: Inner;
@compute @workgroup_size(64) fn main(@builtin(workgroup_id) id: vec3u, @builtin(local_invocation_index) t: u32) {
  var found = inner.at.x | inner.at.y | inner.at.z | inner.last;
  for (var i = t; i < ${words - 4}u; i += 64u) { found |= memory[i]; }
  out[id.x * 64u + t] = found;
  workgroupBarrier();
  for (var i = t; i < ${words - 4}u; i += 64u) { memory[i] = i + 1u; }
  if (t == 0u) { inner = Inner(vec3u(7u), 7u); }
}`;

it('is zero in each workgroup, whatever ran before', async () => {
  const workgroups = 256; // the software adapter runs several in the same memory
  const rec = gpu().record('workgroup memory');
  const out = rec.temp('out', 'u32', [workgroups, 64]);
  const cost = { flops: 0, bytes: 0 };
  rec.dispatch({
    kernel: 'test.memory',
    label: 'out',
    code,
    bindings: [readWrite(out)],
    workgroups: [workgroups],
    cost,
  });
  const found = rec.read(out);
  await rec.submit();
  expect([...found.u32].filter(Boolean)).toEqual([]);
});

import { describe, expect, it } from 'vitest';
import slidingWindow from '../../../docs/examples/kernels/sliding-window.ts';
import { KernelError } from '../../../src/gpu/errors.ts';
import { attention } from '../../../src/kernels/attention/attention.ts';
import { type AttentionKernel, type Kernels, replacementOf } from '../../../src/kernels/custom/kernels.ts';
import { add } from '../../../src/kernels/elementwise/elementwise.ts';
import { useGpu } from '../../gpu.ts';

const gpu = useGpu();
const count = 100;
const a = new Float32Array(count).map((_, i) => i);

/** a + a with these kernels: the output, or the error's message. */
async function twice(kernels: Kernels, label = 'sum'): Promise<Float32Array | string> {
  try {
    const rec = gpu().record('twice', { replacement: replacementOf(kernels) });
    const x = rec.input('x', 'f32', [count], a);
    const y = rec.read(add(rec, { a: x, b: x, label }));
    await rec.submit();
    return y.f32;
  } catch (e) {
    expect(e).toBeInstanceOf(KernelError);
    return (e as Error).message;
  }
}

const main = '@compute @workgroup_size(64) fn main(@builtin(global_invocation_id) id: vec3u)';
const kernel = (wgsl: string, rest: Partial<AttentionKernel> = {}): AttentionKernel => ({
  name: 'mine.wgsl',
  wgsl,
  ...rest,
});
const product = kernel(`${main} {\n  if (id.x < params.count) { out[id.x] = a[id.x] * b[id.x]; }\n}`);

describe('a kernel in the place of ours', () => {
  it('is put behind the header of ours and runs', async () => {
    expect(await twice({ add: product })).toEqual(a.map((v) => v * v));
    expect(await twice({})).toEqual(a.map((v) => 2 * v));
  });

  it('may declare its bindings itself', async () => {
    const own = `
@group(0) @binding(0) var<storage, read> left: array<f32>;
@group(0) @binding(2) var<storage, read_write> sum: array<f32>;
${main} { if (id.x < 100u) { sum[id.x] = 3.0 * left[id.x]; } }`;
    expect(await twice({ add: kernel(own, { workgroups: () => [2] }) })).toEqual(a.map((v) => 3 * v));
  });

  it('takes the dispatches with its labels alone, the first that fits', async () => {
    const three = kernel(`${main} { if (id.x < params.count) { out[id.x] = 3.0 * a[id.x]; } }`, { labels: '*.two' });
    const add = [{ ...product, labels: ['blocks.0.*'] }, three];
    expect(await twice({ add }, 'blocks.0.sum')).toEqual(a.map((v) => v * v));
    expect(await twice({ add }, 'blocks.1.two')).toEqual(a.map((v) => 3 * v));
    expect(await twice({ add }, 'blocks.1.sum')).toEqual(a.map((v) => 2 * v));
    expect(await twice({ add }, 'blocksx0.sum')).toEqual(a.map((v) => 2 * v));
    expect(await twice({ add }, 'vision.blocks.0.sum')).toEqual(a.map((v) => 2 * v));
  });

  it('reads inputs and constants of its own, and is made for a dispatch by a function', async () => {
    const wgsl = (factor: string) => `
override shift = 0.0;
${main} { if (id.x < params.count) { out[id.x] = ${factor} * a[id.x] * weights[0] + weights[1] + shift; } }`;
    const add = kernel('', {
      wgsl: ({ label }) => wgsl(label === 'sum' ? '1.0' : '2.0'),
      inputs: ({ label }) => ({ weights: Float32Array.of(4, label.length) }),
      constants: { shift: 0.5 },
    });
    expect(await twice({ add }, 'sum')).toEqual(a.map((v) => 4 * v + 3.5));
    expect(await twice({ add }, 'summe')).toEqual(a.map((v) => 8 * v + 5.5));
    expect(await twice({ add: { ...add, constants: { shift: 1 } } }, 'sum')).toEqual(a.map((v) => 4 * v + 4));
  });

  it('compiles once and puts its text together once for a run of many layers', async () => {
    const counted = async () => {
      await twice({ add: product });
      return gpu().pipelines.compiled;
    };
    expect(await counted()).toBe(await counted());
  });
});

describe('errors', () => {
  const cases: [string, string, RegExp][] = [
    [
      'the line and column of the user’s text',
      `// a sum\n\n${main} {\n  out[id.x] = foo;\n}`,
      /^add kernel mine\.wgsl:4:15: unresolved value 'foo' in `out\[id\.x\] = foo;`$/,
    ],
    [
      'every error',
      `${main} {\n  let x = ;\n}\nfn f() {\n  let y = ;\n}`,
      /^add kernel mine\.wgsl:2:11: .* in `let x = ;`; mine\.wgsl:5:11: .* in `let y = ;`$/,
    ],
    [
      'a line behind a directive, which goes before the header',
      `// needs\nenable subgroups;\n${main} {\n  out[id.x] = bar;\n}`,
      /^add kernel mine\.wgsl:4:15: unresolved value 'bar'/,
    ],
    [
      'a line behind a comment of several lines and a directive',
      `/* mine,\n   all mine */\nenable subgroups;\n${main} {\n  out[id.x] = bar;\n}`,
      /^add kernel mine\.wgsl:5:15: unresolved value 'bar'/,
    ],
    [
      'a line where the text has its own bindings, between what looks like the ends of a comment',
      `// /*\n@group(0) @binding(0) var<storage, read> a: array<f32>;\n// */\n${main} { _ = b[0]; }`,
      /^add kernel mine\.wgsl:4:\d+: unresolved value 'b'/,
    ],
    ['a directive’s own line', `\nenable nonsense;\n${main} {}`, /^add kernel mine\.wgsl:2:8: .*`enable nonsense;`$/],
    [
      'a line where the text has its own bindings',
      `@group(0) @binding(0) var<storage, read> x: array<f32>;\n${main} { _ = y[0]; }`,
      /^add kernel mine\.wgsl:2:\d+: unresolved value 'y'/,
    ],
    [
      'the entry point that is not there',
      '@compute @workgroup_size(64) fn run() { out[0] = a[0]; }',
      /^add kernel mine\.wgsl: no entry point main: its @compute functions are run; name one by entryPoint$/,
    ],
    ['a text without any', 'fn f() {}', /no entry point main: it has no @compute function; write @compute/],
    [
      'a binding where nothing is',
      `@group(0) @binding(7) var<storage, read_write> far: array<f32>;\n${main} { far[0] = 1.0; }`,
      /^add kernel mine\.wgsl:1: far is at binding 7, where nothing is bound; there are 0 a, 1 b, 2 out, 3 params$/,
    ],
    [
      'a binding of another kind',
      `// x\n@group(0) @binding(0) var<storage, read_write> x: array<f32>;\n${main} { x[0] = 1.0; }`,
      /^add kernel mine\.wgsl:2: x at binding 0 is var<storage, read_write>; what is bound there, a, is var<storage, read>$/,
    ],
    [
      'a workgroup beyond the limits',
      '@compute @workgroup_size(4096) fn main() { out[0] = a[0]; }',
      /^add kernel mine\.wgsl: .*workgroup_size\(4096, 1, 1\).*exceeds the maximum/,
    ],
  ];
  it.each(cases)('names %s', async (_, wgsl, message) => {
    expect(await twice({ add: kernel(wgsl) })).toMatch(message);
  });

  it('names an operation that does not exist, and a description without a text', async () => {
    expect(await twice({ attn: product } as Kernels)).toMatch(
      /^attn: no operation of this name; there are attention, /,
    );
    expect(await twice({ add: { name: 'x' } } as unknown as Kernels)).toMatch(/at least \{ name, wgsl \}/);
    expect(await twice({ add: { ...product, extras: { e: () => [1] } } } as Kernels)).toMatch(
      /extras are for attention/,
    );
    expect(await twice({ attention: { ...product, masks: ['cuasal' as 'causal'] } })).toMatch(
      /no mask cuasal; there are/,
    );
  });

  // A module that --kernel names is JavaScript: no compiler has seen it.
  const wrong: [Record<string, unknown>, RegExp][] = [
    [{ label: 'blocks.0.*' }, /^add: mine\.wgsl: no field label; there are name, wgsl, /],
    [{ toString: 1 }, /no field toString/],
    [{ labels: 3 }, /its labels is to be a glob, or a list of them/],
    [{ workgroups: [1] }, /its workgroups is to be a function \(ours\) =>/],
    [{ constants: { a: '1' } }, /its constants is to be finite numbers by name/],
    [{ wgsl: () => 5 }, /^add kernel mine\.wgsl: its wgsl for sum gave 5: give a text/],
    [
      { wgsl: () => (undefined as unknown as { x: string }).x },
      /its wgsl for sum failed: Cannot read properties of undefined/,
    ],
    [{ workgroups: () => [0] }, /its workgroups for sum gave 0: give one to three whole numbers from 1 on/],
    [{ workgroups: () => [] }, /its workgroups for sum gave : give one to three/],
    [{ workgroups: () => [2.5] }, /its workgroups for sum gave 2.5: give one to three/],
    [{ inputs: () => ({ t: new Int32Array(1) }) }, /its inputs for sum gave .*: give a Float32Array for each name/],
    [
      { inputs: () => Object.fromEntries(Array.from({ length: 64 }, (_, i) => [`t${i}`, new Float32Array(1)])) },
      /sum: 67 storage bindings, this adapter has \d+: put several inputs into one/,
    ],
  ];
  it.each(wrong)('names the field that is wrong: %o', async (field, message) => {
    expect(await twice({ add: { ...product, ...field } } as Kernels)).toMatch(message);
  });

  it('names an extra whose size is none', () => {
    const kernels: Kernels = { attention: { ...product, extras: { e: ({ heads }) => [heads, Number.NaN] } } };
    const rec = gpu().record('extra', { replacement: replacementOf(kernels) });
    const [q, k, v] = ['q', 'k', 'v'].map((label) => rec.temp(label, 'f32', [4, 2, 8]));
    expect(() => attention(rec, { q, k, v, causal: true, scale: 1, label: 'z' })).toThrow(
      'attention kernel mine.wgsl: its extra e for z gave 2,NaN: give a list of sizes from 1 on',
    );
  });

  it('refuses a mask that the kernel does not have, before anything runs', () => {
    const rec = gpu().record('full', { replacement: replacementOf(slidingWindow) });
    const [q, k, v] = ['q', 'k', 'v'].map((label) => rec.temp(label, 'f32', [4, 2, 8]));
    expect(() => attention(rec, { q, k, v, causal: false, scale: 1, label: 'blocks.0.attn.z' })).toThrow(
      'attention kernel sliding-window.wgsl: blocks.0.attn.z needs the mask full, and the kernel says it has causal',
    );
  });
});

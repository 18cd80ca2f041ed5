import { describe, expect, it, vi } from 'vitest';
import { DeviceLostError, KernelError } from '../../src/gpu/errors.ts';
import { openGpu } from '../../src/gpu/gpu.ts';
import { Profiler } from '../../src/gpu/profiler.ts';
import { type Recorder, read, readWrite } from '../../src/gpu/recorder.ts';
import { rows, type Tensor } from '../../src/gpu/tensor.ts';
import { useGpu } from '../gpu.ts';

const gpu = useGpu();
const n = 1000;

const addCode = /* wgsl */ `
@group(0) @binding(0) var<storage, read> x: array<f32>;
@group(0) @binding(1) var<storage, read_write> y: array<f32>;
@group(0) @binding(2) var<uniform> params: vec4u;
@compute @workgroup_size(64) fn main(@builtin(global_invocation_id) id: vec3u) {
  if (id.x < params.x) { y[id.x] = x[id.x] + bitcast<f32>(params.y); }
}`;

function add(recorder: Recorder, x: Tensor, amount: number): Tensor {
  const y = recorder.temp(`${x.label}+${amount}`, 'f32', x.shape);
  const bits = new Uint32Array(new Float32Array([amount]).buffer)[0];
  recorder.dispatch({
    kernel: 'test.add',
    label: y.label,
    code: addCode,
    bindings: [read(x), readWrite(y)],
    params: [n, bits],
    workgroups: [Math.ceil(n / 64)],
    cost: { flops: n, bytes: 8 * n },
  });
  return y;
}

/** What WebGPU refuses: one buffer that is read and written. */
const addInPlace = (recorder: Recorder, x: Tensor) =>
  recorder.dispatch({
    kernel: 'test.add',
    label: 'in place',
    code: addCode,
    bindings: [read(x), readWrite(x)],
    params: [n, 0],
    workgroups: [1],
    cost: { flops: 0, bytes: 0 },
  });

const input = (recorder: Recorder) =>
  recorder.input(
    'x',
    'f32',
    [n],
    new Float32Array(n).map((_, i) => i),
  );

describe('Recorder', () => {
  it('runs a chain of dispatches in one submission, in few buffers', async () => {
    const recorder = gpu().record('chain');
    let x = input(recorder);
    for (let i = 1; i <= 10; i++) x = add(recorder, x, i);
    const result = recorder.read(x);
    expect(recorder.dispatches).toBe(10);
    // Eleven temporaries, two alive at a time, in buffers of multiples of 256 bytes.
    expect(recorder.price()).toBe(2 * 256 * Math.ceil((4 * n) / 256));
    expect(recorder.largest.bytes).toBe(4 * n);
    await recorder.submit();
    expect(result.f32).toEqual(new Float32Array(n).map((_, i) => i + 55));
  });

  it('reads a tensor as it is at that point of the run, and views without a copy', async () => {
    const recorder = gpu().record('views');
    const x = input(recorder);
    const first = recorder.read(rows(x, 3, 5));
    const second = recorder.read(add(recorder, x, 0.5));
    await recorder.submit();
    expect([...first.f32]).toEqual([3, 4]);
    expect(second.f32[999]).toBe(999.5);
  });

  it('compiles nothing and makes no bind group on a second run of the same shape', async () => {
    const run = async () => {
      const recorder = gpu().record('again');
      add(recorder, input(recorder), 1);
      await recorder.submit();
      return [gpu().pipelines.compiled, gpu().bindGroups.count, gpu().pool.bytes];
    };
    const before = await run();
    expect(await run()).toEqual(before);
  });

  it.each(['one', 'another'])('names the kernel and the line of WGSL that does not compile: %s', async (kernel) => {
    const recorder = gpu().record('bad');
    recorder.dispatch({
      kernel,
      label: 'bad',
      code: 'fn main() {\n  let x: u32 = 1.5;\n}',
      bindings: [],
      workgroups: [1],
      cost: { flops: 0, bytes: 0 },
    });
    const error = await recorder.submit().catch((e) => e);
    expect(error).toBeInstanceOf(KernelError);
    expect(error.message).toMatch(/^\w+: WGSL does not compile: line 2: .* in `let x: u32 = 1\.5;`/);
    expect(error.message.split(':')[0]).toBe(kernel);
  });

  it('refuses a tensor that the adapter cannot bind, with its size and the way out', () => {
    const recorder = gpu().record('huge');
    const huge = recorder.temp('scores', 'f32', [1 << 20, 1 << 20]);
    const cost = { flops: 0, bytes: 0 };
    const dispatch = { kernel: 'test.add', label: 'huge', code: addCode, bindings: [read(huge)], cost };
    expect(() => recorder.dispatch({ ...dispatch, workgroups: [1] })).toThrow(
      /^test\.add: scores \[1048576,1048576\] takes 4398046511104 bytes, more than the \d+ .* posSlice$/,
    );
    expect(() => recorder.dispatch({ ...dispatch, bindings: [], workgroups: [1, 70_000] })).toThrow(/exceed 65535/);
  });

  it('turns a validation error into an exception that names the dispatch', async () => {
    const tensor = gpu().tensor('both', 'f32', [n]);
    const recorder = gpu().record('aliased');
    addInPlace(recorder, tensor);
    const error = await recorder.submit().catch((e) => e);
    gpu().destroy(tensor);
    expect(error).toBeInstanceOf(KernelError);
    expect(error.message).toMatch(/both/);
  });

  it('leaves memory and error scopes as they were where a tensor of the run is no longer there', async () => {
    const { device, pool } = gpu();
    const gone = gpu().tensor('gone', 'f32', [64]);
    gpu().destroy(gone);
    const fail = async () => {
      const rec = gpu().record('gone');
      const x = rec.temp('x', 'f32', [64]);
      rec.copy(rec.input('y', 'f32', [64], new Float32Array(64)), x);
      rec.copy(gone, x);
      await expect(rec.submit()).rejects.toThrow(/gone: has no memory/);
    };
    await fail();
    const { bytes } = pool;
    await fail();
    expect(pool.bytes).toBe(bytes);
    await expect(device.popErrorScope()).rejects.toThrow();
  });

  it('says which of many dispatches was refused, and prints what runs, as HEADLIGHT_DEBUG asks', async () => {
    const printed: string[] = [];
    const log = vi.spyOn(console, 'error').mockImplementation((line) => printed.push(`${line}`));
    const sums = async () => {
      const profiler = new Profiler(gpu());
      const rec = gpu().record('sums', { profiler });
      const y = add(rec, add(rec, input(rec), 1), 2);
      const copy = rec.temp('copy', 'f32', [n]);
      rec.copy(y, copy);
      const reads = [rec.read(y), rec.read(copy)];
      await rec.submit();
      expect(profiler.rows.length).toBe(profiler.available ? 2 : 0);
      return reads.map(({ f32 }) => f32);
    };
    const plain = await sums();
    try {
      vi.stubEnv('HEADLIGHT_DEBUG', '1');
      expect(await sums()).toEqual(plain);
      expect(printed).toEqual([]);
      const both = gpu().tensor('both', 'f32', [n]);
      const rec = gpu().record('aliased among others');
      add(rec, input(rec), 1);
      addInPlace(rec, both);
      add(rec, input(rec), 2);
      await expect(rec.submit()).rejects.toThrow(/^test\.add in place: /);
      gpu().destroy(both);
      vi.stubEnv('HEADLIGHT_DEBUG', '2');
      expect(await sums()).toEqual(plain);
      const all = printed.join('\n');
      expect(all).toContain('[headlight] test.add x+1\n[headlight]   read x f32 [1000] at 0');
      expect(all).toContain('workgroups [16], params [1000,');
      expect(all.split(addCode)).toHaveLength(2); // the text once
    } finally {
      vi.unstubAllEnvs();
      log.mockRestore();
    }
  });

  describe('in several submissions', () => {
    /** A Gpu on the same device that submits each command by itself. */
    const careful = () => openGpu({ device: gpu().device, submissionMs: 1e-9 });
    const chain = (recorder: Recorder) => {
      let x = input(recorder);
      for (let i = 1; i <= 10; i++) x = add(recorder, x, 0.1 * i);
      return recorder.read(x);
    };

    it('gives the same bits, and tells how far it is', async () => {
      const whole = gpu().record('whole');
      const expected = chain(whole);
      const submits = vi.spyOn(gpu().device.queue, 'submit');
      await whole.submit();
      expect(submits).toHaveBeenCalledTimes(1);
      const other = await careful();
      for (let run = 0; run < 2; run++) {
        submits.mockClear();
        const shares: number[] = [];
        const recorder = other.record('pieces', { onProgress: (done, total) => shares.push(done / total) });
        const found = chain(recorder);
        await recorder.submit();
        expect(submits).toHaveBeenCalledTimes(11); // ten dispatches, a read-back
        expect(found.f32).toEqual(expected.f32);
        expect(shares).toHaveLength(9);
        expect(shares).toEqual([...shares].sort((a, b) => a - b));
        expect(shares[0] > 0 && shares[8] < 1).toBe(true);
      }
      submits.mockRestore();
      other.dispose();
    });

    it('keeps runs apart that overlap: each has its own params and memory', async () => {
      const other = await careful();
      const runs = [1, 20, 300].map((amount) => {
        const recorder = other.record(`adds ${amount}`);
        let x = input(recorder);
        for (let i = 0; i < 8; i++) x = add(recorder, x, amount);
        const found = recorder.read(x);
        return recorder.submit().then(() => found.f32[1]);
      });
      expect(await Promise.all(runs)).toEqual([9, 161, 2401]);
      other.dispose();
    });

    it('ends between two of them when a signal is aborted, and leaves memory as it was', async () => {
      const other = await careful();
      const submits = vi.spyOn(gpu().device.queue, 'submit');
      const run = async (abort: boolean) => {
        const controller = new AbortController();
        const recorder = other.record('aborted', {
          signals: [new AbortController().signal, controller.signal],
          onProgress: () => abort && controller.abort(new Error('enough')),
        });
        const found = chain(recorder);
        await recorder.submit();
        return found.f32[0];
      };
      await run(false);
      const bytes = other.pool.bytes + other.paramsPool.bytes;
      submits.mockClear();
      await expect(run(true)).rejects.toThrow(/^enough$/);
      expect(submits.mock.calls.length).toBeLessThan(5);
      expect(await run(false)).toBeCloseTo(5.5, 5);
      expect(other.pool.bytes + other.paramsPool.bytes).toBe(bytes);
      submits.mockRestore();
      other.dispose();
    });

    it('stops at a command that WebGPU refuses', async () => {
      const other = await careful();
      const both = other.tensor('both', 'f32', [n]);
      const recorder = other.record('aliased');
      const submits = vi.spyOn(gpu().device.queue, 'submit');
      addInPlace(recorder, both);
      chain(recorder);
      await expect(recorder.submit()).rejects.toThrow(/both/);
      expect(submits.mock.calls.length).toBeLessThan(4);
      submits.mockRestore();
      other.destroy(both);
      other.dispose();
    });

    it.each([0, -1, Number.NaN])('refuses %d milliseconds', async (submissionMs) => {
      await expect(openGpu({ device: gpu().device, submissionMs })).rejects.toThrow(/^submissionMs .*: give a number/);
    });
  });

  it('times each dispatch where the device has timestamps, and changes no result', async () => {
    const profiler = new Profiler(gpu());
    const recorder = gpu().record('profiled', { profiler });
    const y = recorder.read(add(recorder, add(recorder, input(recorder), 1), 2));
    await recorder.submit();
    expect(y.f32[0]).toBe(3);
    expect(profiler.rows.length).toBe(profiler.available ? 2 : 0);
    for (const row of profiler.rows) expect(row).toMatchObject({ kernel: 'test.add', flops: n });
  });

  it('takes a device that the caller has, with the pipelines that it has, and leaves it alive', async () => {
    const mine = gpu().record('first');
    add(mine, input(mine), 1);
    await mine.submit();
    const other = await openGpu({ device: gpu().device });
    expect(other.capabilities.architecture).toBe(gpu().capabilities.architecture);
    const { compiled } = gpu().pipelines;
    const recorder = other.record('borrowed');
    const y = recorder.read(add(recorder, input(recorder), 4));
    await recorder.submit();
    other.dispose();
    expect(y.f32[1]).toBe(5);
    expect(other.pipelines.compiled).toBe(compiled);
    expect(() => gpu().record('still here')).not.toThrow();
  });

  it.each([0, 1, 2, 5, 20])('names the loss wherever a run is when the device goes: after %i ms', async (ms) => {
    const other = await openGpu();
    const rec = other.record('interrupted');
    let y = input(rec);
    for (let i = 0; i < 50; i++) y = add(rec, y, 1);
    rec.read(y);
    const run = rec.submit().then(
      () => undefined,
      (error: unknown) => error,
    );
    if (ms) await new Promise((done) => setTimeout(done, ms));
    other.device.destroy();
    const error = await run;
    if (error !== undefined) expect(error).toBeInstanceOf(DeviceLostError); // it may have been quicker
    if (ms === 0) expect(error).toBeInstanceOf(DeviceLostError);
  });

  it('reports a lost device as a typed error', async () => {
    const other = await openGpu();
    other.dispose();
    await other.device.lost;
    expect(() => other.record('late')).toThrow(DeviceLostError);
  });
});

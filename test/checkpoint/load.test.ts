import { afterEach, describe, expect, test, vi } from 'vitest';
import { type Checkpoint, openCheckpoint } from '../../src/checkpoint/checkpoint-files.ts';
import { CheckpointError } from '../../src/checkpoint/errors.ts';
import { type LoadOptions, loadTensors, type TensorSpec } from '../../src/checkpoint/load.ts';
import { type StoredTensor, tensorOf, writeSafetensors } from '../../src/checkpoint/safetensors-writer.ts';
import { q8 } from '../../src/gpu/formats/q8.ts';
import type { Tensor } from '../../src/gpu/tensor.ts';
import { buffersOf } from '../../src/gpu/weight.ts';
import { useGpu } from '../gpu.ts';
import { MemoryFolder } from './memory-folder.ts';

const gpu = useGpu();
afterEach(() => vi.restoreAllMocks());

const bytes = (length: number, seed = 1) =>
  Uint8Array.from({ length }, (_, i) => (i * 31 + seed * 7 + (i >> 8)) & 0xff);
const stored = (name: string, dtype: 'F32' | 'F16' | 'BF16', shape: number[], seed = 1): StoredTensor => ({
  name,
  dtype,
  shape,
  data: bytes(
    shape.reduce((n, d) => n * d, dtype === 'F32' ? 4 : 2),
    seed,
  ),
});

const folderOf = (...tensors: StoredTensor[]) => new MemoryFolder({ 'model.safetensors': writeSafetensors(tensors) });
const open = (...tensors: StoredTensor[]) => openCheckpoint(folderOf(...tensors));
const matrix = (name: string, ...shape: number[]): TensorSpec => ({ name, shape, role: 'matrix' });
const vector = (name: string, ...shape: number[]): TensorSpec => ({ name, shape, role: 'vector' });
const load = (checkpoint: Checkpoint, specs: TensorSpec[], options: Partial<LoadOptions> = {}) =>
  loadTensors(gpu(), checkpoint, specs, { visionLayers: 1, ...options });

/** What is in the tensors' buffers, padding included. */
async function contents(...tensors: Tensor[]): Promise<Uint8Array[]> {
  const recorder = gpu().record('read weights');
  const reads = tensors.map((t) => recorder.read({ ...t, dtype: 'u32', shape: [t.storage.size / 4] }));
  await recorder.submit();
  return reads.map((r) => r.bytes!);
}

/** The buffers that `action` creates and has not destroyed when it fails. */
async function leaksOf(action: () => Promise<unknown>): Promise<{ created: number; leaked: string[]; error: Error }> {
  const { device } = gpu();
  const live = new Map<GPUBuffer, string>();
  let created = 0;
  const create = device.createBuffer.bind(device);
  const spy = vi.spyOn(device, 'createBuffer').mockImplementation((descriptor) => {
    const buffer = create(descriptor);
    created++;
    live.set(buffer, descriptor.label ?? '?');
    const destroy = buffer.destroy.bind(buffer);
    buffer.destroy = () => {
      live.delete(buffer);
      destroy();
    };
    return buffer;
  });
  const error = await action().then(
    () => Promise.reject(new Error('it did not fail')),
    (e: Error) => e,
  );
  spy.mockRestore();
  return { created, leaked: [...live.values()], error };
}

describe('loading', () => {
  test('parts of a stored tensor’s rows are tensors of their own', async () => {
    const [qkv, bias] = [stored('qkv', 'BF16', [6, 5]), stored('bias', 'F32', [6])];
    const parts = [0, 1, 2].map((index) => ({ index, of: 3 }));
    const specs = parts.flatMap((part) => [
      { ...matrix('qkv', 6, 5), part },
      { ...vector('bias', 6), part },
    ]);
    const weights = await load(await open(qkv, bias), specs);
    for (const part of parts) {
      const weight = weights.matrix('qkv', [6, 5], { part });
      expect(weight.shape).toEqual([2, 5]);
      const [rows, numbers] = await contents(weight.parts[0].buffers[0], weights.vector('bias', [6], { part }));
      expect(rows).toEqual(qkv.data.slice(part.index * 20, (part.index + 1) * 20));
      expect(numbers).toEqual(bias.data.slice(part.index * 8, (part.index + 1) * 8));
    }
    expect(() => weights.matrix('qkv')).toThrow('qkv: no matrix of this name was loaded');
    weights.destroy();
  });

  test.each(['F32', 'F16', 'BF16'] as const)('a matrix of %s keeps its bytes, odd counts are padded', async (dtype) => {
    const weights = await load(await open(stored('a', dtype, [3, 5], 1), stored('b', dtype, [7, 1, 2, 2], 2)), [
      matrix('a', 3, 5),
      matrix('b', 7, 1, 2, 2),
    ]);
    const [a, b] = [weights.matrix('a'), weights.matrix('b')];
    expect(a).toMatchObject({ label: 'a', format: { name: dtype.toLowerCase() }, shape: [3, 5] });
    expect(b).toMatchObject({ label: 'b', shape: [7, 4] });
    const [gotA, gotB] = await contents(...buffersOf(a), ...buffersOf(b));
    const size = dtype === 'F32' ? 60 : 30;
    expect(gotA.subarray(0, size)).toEqual(bytes(size, 1));
    expect([...gotA.subarray(size)].every((byte) => byte === 0)).toBe(true);
    expect(gotA.length % 4).toBe(0);
    expect(gotB).toEqual(bytes(b.shape[0] * b.shape[1] * (dtype === 'F32' ? 4 : 2), 2));
    expect(weights.bytes).toBe(gotA.length + gotB.length);
    weights.destroy();
  });

  test('a vector without dimensions is one number', async () => {
    const weights = await load(await open(tensorOf('scale', [], Float32Array.of(2))), [vector('scale')]);
    expect(weights.vector('scale').shape).toEqual([]);
    expect(new Float32Array((await contents(weights.vector('scale')))[0].buffer)).toEqual(Float32Array.of(2));
    weights.destroy();
  });

  test('vectors of any dtype become f32, an odd count of them too', async () => {
    const checkpoint = await open(
      { name: 'half', dtype: 'F16', shape: [3], data: new Uint8Array(Uint16Array.of(0x3c00, 0xc000, 0x0001).buffer) },
      { name: 'brain', dtype: 'BF16', shape: [1], data: new Uint8Array(Uint16Array.of(0x3fc0).buffer) },
      tensorOf('single', [2, 2], Float32Array.of(1, 2, 3, 0.1)),
    );
    const weights = await load(checkpoint, [vector('half', 3), vector('brain', 1), vector('single', 2, 2)]);
    const tensors = ['half', 'brain', 'single'].map((name) => weights.vector(name));
    expect(tensors.map((t) => t.dtype)).toEqual(['f32', 'f32', 'f32']);
    expect(tensors.map((t) => t.shape)).toEqual([[3], [1], [2, 2]]);
    const values = (await contents(...tensors)).map((b) => [...new Float32Array(b.slice().buffer)]);
    expect(values).toEqual([[1, -2, 2 ** -24], [1.5], [1, 2, 3, Math.fround(0.1)]]);
    weights.destroy();
  });

  test('tensors longer than a chunk, of which the last is odd, from shards', async () => {
    const [rows, columns] = [1203, 3501]; // 8.4 MB in f16: three chunks, an odd count of numbers
    const big = stored('big', 'F16', [rows, columns], 3);
    const table = stored('table', 'BF16', [2_200_001], 4);
    const folder = new MemoryFolder({
      'b.safetensors': writeSafetensors([big]),
      'a.safetensors': writeSafetensors([table]),
      'model.safetensors.index.json': JSON.stringify({ weight_map: { big: 'b.safetensors', table: 'a.safetensors' } }),
    });
    const checkpoint = await openCheckpoint(folder);
    folder.reads.length = 0;
    const progress: { loaded: number; total: number }[] = [];
    const specs = [matrix('big', rows, columns), vector('table', 2_200_001)];
    const weights = await load(checkpoint, specs, { onProgress: (p) => progress.push(p) });
    const [gotBig, gotTable] = await contents(...buffersOf(weights.matrix('big')), weights.vector('table'));
    expect(Buffer.compare(gotBig.subarray(0, big.data.length), big.data)).toBe(0);
    const halves = new Uint16Array(table.data.buffer);
    const words = new Uint32Array(gotTable.slice().buffer);
    expect(words.findIndex((word, i) => word !== (halves[i] << 16) >>> 0)).toBe(-1);

    const total = big.data.length + table.data.length;
    expect(progress[0]).toEqual({ loaded: 0, total });
    expect(progress.at(-1)).toEqual({ loaded: total, total });
    expect(progress.every((p, i) => p.total === total && (i === 0 || p.loaded > progress[i - 1].loaded))).toBe(true);
    // Each byte once, front to back, a bounded piece at a time.
    expect(folder.reads.map((r) => r.name)).toEqual([...folder.reads.map((r) => r.name)].sort());
    expect(folder.reads.reduce((sum, r) => sum + r.end - r.start, 0)).toBe(total);
    expect(Math.max(...folder.reads.map((r) => r.end - r.start))).toBeLessThanOrEqual(4 << 20);
    weights.destroy();
  });

  test('small tensors that follow each other are fetched together, across a gap they are not', async () => {
    const folder = folderOf(...['a', 'b', 'c', 'd', 'e'].map((name, i) => stored(name, 'F16', [3, 1], i)));
    const checkpoint = await openCheckpoint(folder);
    (checkpoint.tensors as Map<string, unknown>).delete('c');
    folder.reads.length = 0;
    const names = ['e', 'd', 'b', 'a'];
    const weights = await load(
      checkpoint,
      names.map((name) => matrix(name, 3, 1)),
    );
    expect(folder.reads.map((r) => r.end - r.start)).toEqual([12, 12]);
    const got = await contents(...names.flatMap((name) => buffersOf(weights.matrix(name))));
    expect(got.map((b) => b.subarray(0, 6))).toEqual([bytes(6, 4), bytes(6, 3), bytes(6, 1), bytes(6, 0)]);
    weights.destroy();
  });

  test.each([undefined, q8])('the queue never holds more than 16 MiB and a chunk, in format %#', async (format) => {
    const { queue } = gpu().device;
    let held = 0;
    let most = 0;
    const write = queue.writeBuffer.bind(queue);
    vi.spyOn(queue, 'writeBuffer').mockImplementation((...args) => {
      held += (args[2] as Uint8Array).byteLength;
      most = Math.max(most, held);
      return write(...(args as Parameters<typeof write>));
    });
    const done = queue.onSubmittedWorkDone.bind(queue);
    vi.spyOn(queue, 'onSubmittedWorkDone').mockImplementation(async () => {
      await done();
      held = 0;
      return undefined;
    });
    const formatOf = format && (() => format);
    const checkpoint = await open(stored('a', 'F16', [3000, 4000])); // 24 MB
    const weights = await load(checkpoint, [matrix('a', 3000, 4000)], { formatOf });
    expect(held).toBe(0);
    expect(most).toBeGreaterThan(8 << 20);
    expect(most).toBeLessThanOrEqual(20 << 20);
    weights.destroy();
  });

  test('what is not read is listed with its reason', async () => {
    const bias = (l: number) => `vision_tower.vision_model.encoder.layers.${l}.mlp.fc1.bias`;
    const checkpoint = await open(
      ...[bias(0), bias(1), 'lm_head.weight'].map((name) => stored(name, 'F32', [2])),
      stored('language_model.layers.0.self_attn.rotary_emb.inv_freq', 'F32', [2]),
    );
    const specs = [vector('lm_head.weight', 2), vector(bias(0), 2)];
    const weights = await load(checkpoint, specs, { visionLayers: 2 });
    expect(weights.ignored.map(({ tensor, why }) => [tensor.name, why])).toEqual([
      ['language_model.layers.0.self_attn.rotary_emb.inv_freq', 'computed from the config'],
      [bias(1), 'a vision layer after the last one that features are taken from'],
    ]);
    expect(() => weights.matrix('lm_head.weight')).toThrow('lm_head.weight: no matrix of this name was loaded');
    expect(() => weights.vector('other')).toThrow('other: no vector of this name was loaded');
    weights.destroy();
    const other = await load(checkpoint, specs, { visionLayers: 1 });
    other.destroy();
    expect(other.ignored.find(({ tensor }) => tensor.name === bias(1))).toMatchObject({ unknown: true });
  });

  test('tied tensors may be absent, or present and equal', async () => {
    const embed = 'language_model.embed_tokens.weight';
    const specs = [matrix(embed, 3, 4)];
    const tied = { 'lm_head.weight': embed };
    const absent = await load(await open(stored(embed, 'F16', [3, 4])), specs, { tied });
    expect(absent.ignored).toEqual([]);
    const both = (seed: number, dtype: 'F16' | 'BF16' = 'F16') =>
      open(stored(embed, 'F16', [3, 4]), stored('lm_head.weight', dtype, [3, 4], seed));
    const equal = await load(await both(1), specs, { tied });
    expect(equal.ignored.map((i) => i.why)).toEqual([`tied to ${embed}`]);
    await expect(load(await both(2), specs, { tied })).rejects.toThrow('set tie_word_embeddings to false');
    await expect(load(await both(1, 'BF16'), specs, { tied })).rejects.toThrow(`differs from ${embed}`);
    absent.destroy();
    equal.destroy();
  });
});

describe('a matrix larger than a binding', () => {
  const small = useGpu({ maxStorageBufferBindingSize: 256 });

  test('is split by rows, and every row is in its part', async () => {
    const source = stored('a', 'BF16', [10, 33]); // 66 bytes a row: 3 rows a part
    const weights = await loadTensors(small(), await open(source), [matrix('a', 10, 33)], { visionLayers: 0 });
    const { parts, shape } = weights.matrix('a');
    const tensors = buffersOf(weights.matrix('a'));
    expect(shape).toEqual([10, 33]);
    expect(parts.map((p) => [p.label, ...p.shape])).toEqual([
      ['a[0:3]', 3, 33],
      ['a[3:6]', 3, 33],
      ['a[6:9]', 3, 33],
      ['a[9:10]', 1, 33],
    ]);
    const recorder = small().record('read');
    const reads = tensors.map((t) => recorder.read({ ...t, dtype: 'u32', shape: [t.storage.size / 4] }));
    await recorder.submit();
    const joined = reads.flatMap((r, i) => [...r.bytes!.subarray(0, parts[i].shape[0] * 66)]);
    expect(joined).toEqual([...source.data]);
    small().destroy(...tensors);
  });

  test('stacked tensors lie one after the other, each with its own bytes', async () => {
    const [q, k] = [stored('q', 'F16', [128, 64], 1), stored('k', 'F16', [6, 64], 2)];
    const [qBias, kBias] = [stored('q bias', 'BF16', [64], 3), stored('k bias', 'BF16', [3], 4)];
    const specs = [
      { ...matrix('q', 128, 64), stack: 'qk' },
      { ...vector('q bias', 64), stack: 'qk bias' },
      { ...matrix('k', 6, 64), stack: 'qk' },
      { ...vector('k bias', 3), stack: 'qk bias' },
    ];
    const weights = await load(await open(k, q, kBias, qBias), specs);
    const [own, next] = ['q', 'k'].map((name) => weights.matrix(name).parts[0].buffers[0]);
    expect(next.storage).toBe(own.storage);
    const rec = gpu().record('read');
    const reads = [own, next, weights.vector('q bias'), weights.vector('k bias')].map((tensor) => rec.read(tensor));
    await rec.submit();
    expect(reads[0].bytes).toEqual(q.data);
    expect(reads[1].bytes).toEqual(k.data);
    for (const [i, bias] of [qBias, kBias].entries())
      expect(new Uint8Array(reads[2 + i].f32.buffer)).toEqual(
        new Uint8Array(
          Uint32Array.from(new Uint16Array(bias.data.buffer, 0, bias.shape[0]), (half) => half << 16).buffer,
        ),
      );
    weights.destroy();
    expect(() => weights.matrix('v')).toThrow('v: no matrix of this name was loaded');
    const converted = await load(await open(k, q), [specs[0], specs[2]], { formatOf: () => q8 });
    expect(converted.matrix('k').parts[0].buffers.map(({ label, offset }) => [label, offset])).toEqual([
      ['k', 8192],
      ['k scales', 512],
    ]);
    converted.destroy();
  });

  test('the next chunk is read while one is sent to the GPU', async () => {
    const folder = folderOf(stored('a', 'F32', [1024, 1024, 3]));
    const checkpoint = await openCheckpoint(folder);
    const order: string[] = [];
    const read = folder.read.bind(folder);
    folder.read = (...range) => {
      order.push('read');
      return read(...range);
    };
    const { queue } = gpu().device;
    const write = queue.writeBuffer.bind(queue);
    vi.spyOn(queue, 'writeBuffer').mockImplementation((...of) => {
      order.push('send');
      write(...of);
    });
    const weights = await load(checkpoint, [matrix('a', 1024, 1024, 3)]);
    expect(order).toEqual(['read', 'read', 'send', 'read', 'send', 'send']);
    weights.destroy();
  });

  test('fails when not one row fits, and leaves nothing', async () => {
    const checkpoint = await open(stored('a', 'F32', [2, 65]));
    await expect(loadTensors(small(), checkpoint, [matrix('a', 2, 65)], { visionLayers: 0 })).rejects.toThrow(
      'a: one row of [2, 65] f32 exceeds the 256 bytes that this adapter can bind',
    );
  });
});

describe('failing', () => {
  test('names everything that does not fit, at once', async () => {
    const checkpoint = await open(
      stored('language_model.model.layers.0.mlp.down_proj.weight', 'F32', [4, 5]),
      { name: 'language_model.model.norm.weight', dtype: 'I8', shape: [4], data: new Uint8Array(4) },
      stored('language_model.model.layers.0.mlp.strange', 'F32', [1]),
      stored('language_model.model.embed_tokens.weight', 'F32', [4]),
      stored('visual.blocks.0.attn.qkv.weight', 'F32', [8, 2]),
    );
    const specs = [
      matrix('language_model.layers.0.mlp.down_proj.weight', 4, 6),
      vector('language_model.norm.weight', 4),
      matrix('language_model.embed_tokens.weight', 4, 1),
      matrix('lm_head.weight', 7, 4),
      { ...matrix('visual.blocks.0.attn.qkv.weight', 9, 2), part: { index: 0, of: 3 } },
    ];
    const { error, created } = await leaksOf(() => load(checkpoint, specs));
    expect(error).toBeInstanceOf(CheckpointError);
    expect(created).toBe(0);
    expect((error as CheckpointError).problems).toEqual([
      'language_model.model.layers.0.mlp.down_proj.weight: expected [4, 6], the checkpoint has [4, 5] (model.safetensors)',
      'language_model.model.norm.weight: stored as I8; F32, F16, BF16 can be loaded: use the unquantised checkpoint (model.safetensors)',
      'language_model.model.embed_tokens.weight: expected [4, 1], the checkpoint has [4] (model.safetensors)',
      'lm_head.weight: expected [7, 4], the checkpoint has no such tensor',
      'visual.blocks.0.attn.qkv.weight: expected [9, 2], the checkpoint has [8, 2] (model.safetensors)',
      '"language_model.model.layers.0.mlp.strange": unknown, the model has no use for it (model.safetensors)',
    ]);
    for (const problem of (error as CheckpointError).problems) expect(error.message).toContain(problem);
  });

  const twoTensors = () => [stored('a', 'F32', [8, 8]), stored('b', 'F32', [8, 8])];
  const twoSpecs = [matrix('a', 8, 8), vector('b', 8, 8)];

  test('an abort before and during the load frees everything and gives the reason', async () => {
    const reason = new Error('changed my mind');
    const before = await leaksOf(async () =>
      load(await open(...twoTensors()), twoSpecs, { signal: AbortSignal.abort(reason) }),
    );
    expect(before).toMatchObject({ error: reason, created: 0 });
    const controller = new AbortController();
    const onProgress = ({ loaded }: { loaded: number }) => loaded > 0 && controller.abort(reason);
    const checkpoint = await open(...twoTensors());
    const during = await leaksOf(() => load(checkpoint, twoSpecs, { signal: controller.signal, onProgress }));
    expect(during.error).toBe(reason);
    expect(during.created).toBe(2);
    expect(during.leaked).toEqual([]);
  });

  test('a file that cannot be read to its end frees everything', async () => {
    const folder = folderOf(...twoTensors());
    const checkpoint = await openCheckpoint(folder);
    folder.files.set('model.safetensors', folder.files.get('model.safetensors')!.subarray(0, -1));
    const { error, created, leaked } = await leaksOf(() => load(checkpoint, twoSpecs));
    expect(error.message).toMatch(/^model\.safetensors: asked for bytes \d+ to \d+, got 511: the file changed/);
    expect(created).toBe(2);
    expect(leaked).toEqual([]);
  });

  test('too little GPU memory is said, and everything freed', async () => {
    const { device } = gpu();
    vi.spyOn(device, 'popErrorScope').mockImplementationOnce(async () => ({ message: 'no more' }) as GPUError);
    const checkpoint = await open(...twoTensors());
    const { error, leaked } = await leaksOf(() => load(checkpoint, twoSpecs));
    expect(error.message).toBe('memory: the GPU has not the memory for 0.0 GiB of weights: no more');
    expect(leaked).toEqual([]);
    await device.popErrorScope(); // the one that the load pushed
  });
});

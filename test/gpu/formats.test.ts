import { describe, expect, it, test } from 'vitest';
import { openCheckpoint } from '../../src/checkpoint/checkpoint-files.ts';
import { loadTensors } from '../../src/checkpoint/load.ts';
import { tensorOf, writeSafetensors } from '../../src/checkpoint/safetensors-writer.ts';
import { guaranteed } from '../../src/gpu/dry-gpu.ts';
import {
  declare,
  declareOut,
  type Format,
  formatBytes,
  type MatrixShape,
  rowsPerPart,
} from '../../src/gpu/formats/format.ts';
import { formats } from '../../src/gpu/formats/index.ts';
import { buffersOf, makeWeight } from '../../src/gpu/weight.ts';
import { embeddingProblem, embeddingProblems } from '../../src/kernels/embedding/problem.ts';
import { headResultProblem, headResultProblems } from '../../src/kernels/head-result/problem.ts';
import { matmulVariants } from '../../src/kernels/matmul/matmul.ts';
import { matmulObstacle } from '../../src/kernels/matmul/plan.ts';
import { matmulProblem, matmulProblems } from '../../src/kernels/matmul/problem.ts';
import { parseConfig } from '../../src/model/families/index.ts';
import { checkAdapter } from '../../src/model/plan/adapter-fit.ts';
import { dryModel } from '../../src/model/plan/dry-run.ts';
import { type FormatOf, priceWeights } from '../../src/model/plan/price.ts';
import { MemoryFolder } from '../checkpoint/memory-folder.ts';
import { readJsonFixture } from '../fixtures.ts';
import { useGpu } from '../gpu.ts';
import { expectSolved, random } from '../kernels/check.ts';

const gpu = useGpu();
const { f16, bf16 } = formats;

/** A 16-bit number by the definition of the format, in double precision. */
function halfValue(bits: number, exponentBits: number): number {
  const mantissaBits = 15 - exponentBits;
  const sign = bits & 0x8000 ? -1 : 1;
  const exponent = (bits & 0x7fff) >> mantissaBits;
  const mantissa = bits & (2 ** mantissaBits - 1);
  const bias = 2 ** (exponentBits - 1) - 1;
  if (exponent === 2 ** exponentBits - 1) return mantissa ? Number.NaN : sign * Number.POSITIVE_INFINITY;
  return exponent
    ? sign * (1 + mantissa / 2 ** mantissaBits) * 2 ** (exponent - bias)
    : sign * (mantissa / 2 ** mantissaBits) * 2 ** (1 - bias);
}

describe.each([
  [f16, 5],
  [bf16, 8],
] as const)('$name', (format, exponentBits) => {
  const all = Uint16Array.from({ length: 65536 }, (_, i) => i);
  const shape = [256, 256] as const;
  const values = format.unpack([new Uint8Array(all.buffer)], shape);
  const packed = (...values: number[]) => {
    const [bytes] = format.pack(Float64Array.from(values), [1, values.length]);
    return [...new Uint16Array(bytes.buffer)].slice(0, values.length);
  };

  test('all 65,536 values are unpacked exactly', () => {
    for (const i of all) {
      const expected = halfValue(i, exponentBits);
      if (!Object.is(values[i], expected)) expect({ bits: i, value: values[i] }).toEqual({ bits: i, value: expected });
    }
  });

  test('and packed again', () => {
    const [bytes] = format.pack(values, shape);
    const again = new Uint16Array(bytes.buffer);
    for (const i of all) if (!Number.isNaN(values[i]) && again[i] !== i) expect(again[i]).toBe(i);
    expect(format.unpack(format.pack(Float64Array.of(Number.NaN), [1, 1]), [1, 1])).toEqual(
      Float64Array.of(Number.NaN),
    );
  });

  test('what lies between two is rounded to the nearer, of two equally near to the even one', () => {
    const largest = (2 ** exponentBits - 1) * 2 ** (15 - exponentBits) - 1;
    // from 0 to the largest, subnormals and all powers of two on the way
    for (let bits = 0; bits < largest; bits++) {
      const [low, high] = [values[bits], values[bits + 1]];
      const middle = (low + high) / 2;
      const wanted = [bits, bits % 2 ? bits + 1 : bits, bits + 1];
      const got = packed(middle - (high - low) / 8, middle, middle + (high - low) / 8);
      if (got.some((half, i) => half !== wanted[i])) expect({ bits, got }).toEqual({ bits, got: wanted });
    }
    const step = values[largest] - values[largest - 1];
    expect(packed(values[largest] + step / 4, values[largest] + step / 2, 1e300)).toEqual([
      largest,
      largest + 1,
      largest + 1,
    ]);
    expect(packed(-values[largest] - step / 2, -0, -1e-300)).toEqual([0x8000 + largest + 1, 0x8000, 0x8000]);
  });
});

test.each([formats.f32, f16, bf16])(
  '$name pads an odd count of numbers to words, and reads from any byte',
  (format) => {
    const shape = [3, 5] as const;
    const values = Float32Array.from({ length: 15 }, (_, i) => i / 4 - 2);
    const buffers = format.pack(values, shape);
    expect(buffers.map(({ length }) => length % 4)).toEqual([0]);
    const moved = new Uint8Array(buffers[0].length + 1);
    moved.set(buffers[0], 1);
    expect(format.unpack([moved.subarray(1)], shape)).toEqual(Float64Array.from(values));
  },
);

/** Numbers of a group, which share a scale. */
const group = 32;

/**
 * Eight bits a number and a scale for each 32 along K, in two buffers: what no format of ours has. Nothing outside this object
 * knows it.
 */
const int8: Format = {
  name: 'int8',
  buffers: ([rows, columns]) => [
    { dtype: 'u32', shape: [rows, columns / 4] },
    { what: 'scales', dtype: 'f32', shape: [rows, columns / group] },
  ],
  obstacle: (columns) => (columns % group ? `rows of ${columns} are not of whole groups of ${group}` : undefined),
  bindings: (first, name) => [declare(first, name, 'u32'), declare(first + 1, `${name}Scales`, 'f32')],
  reader: (name, width) =>
    width === 4
      ? `fn ${name}At(i: u32) -> vec4f {
  let word = vec4i(bitcast<i32>(${name}[i]));
  return vec4f((word << vec4u(24u, 16u, 8u, 0u)) >> vec4u(24u)) * ${name}Scales[i / ${group / 4}u];
}`
      : `fn ${name}At(i: u32) -> f32 {
  return f32(extractBits(bitcast<i32>(${name}[i / 4u]), 8u * (i % 4u), 8u)) * ${name}Scales[i / ${group}u];
}`,
  writer: {
    unit: group,
    bindings: (first, name) => [declareOut(first, name, 'u32'), declareOut(first + 1, `${name}Scales`, 'f32')],
    store: (name) => `fn ${name}Store(u: u32, v: ptr<function, array<vec4f, ${group / 4}>>) {
  var most = 0.0;
  for (var i = 0u; i < ${group}u; i++) { most = max(most, abs((*v)[i / 4u][i % 4u])); }
  let scale = most / 127.0;
  ${name}Scales[u] = scale;
  for (var i = 0u; i < ${group / 4}u; i++) {
    let q = vec4i(round((*v)[i] / scale)) & vec4i(255);
    ${name}[${group / 4}u * u + i] = u32(q.x | (q.y << 8u) | (q.z << 16u) | (q.w << 24u));
  }
}`,
  },
  pack(values) {
    const numbers = new Int8Array(values.length);
    const scales = new Float32Array(values.length / group);
    for (let g = 0; g < scales.length; g++) {
      const of = Array.from(values.subarray(g * group, (g + 1) * group));
      scales[g] = Math.max(...of.map(Math.abs)) / 127;
      for (const [i, x] of of.entries()) numbers[g * group + i] = scales[g] ? Math.round(x / scales[g]) : 0;
    }
    return [new Uint8Array(numbers.buffer), new Uint8Array(scales.buffer)];
  },
  unpack([numbers, scales], [rows, columns]) {
    const [signed, scale] = [new Int8Array(new Uint8Array(numbers)), new Float32Array(new Uint8Array(scales).buffer)];
    return Float64Array.from({ length: rows * columns }, (_, i) => signed[i] * scale[Math.floor(i / group)]);
  },
};

describe('a format of two buffers with groups along K', () => {
  it('keeps numbers to half a step', () => {
    const values = random(5 * 64, 1);
    const back = int8.unpack(int8.pack(values, [5, 64]), [5, 64]);
    for (const [i, x] of values.entries()) expect(Math.abs(back[i] - x)).toBeLessThanOrEqual(0.501 / 127);
  });

  it.each(matmulProblems([int8]))('matmul of $name', (problem) => expectSolved(gpu(), problem));
  it.for(matmulVariants)('matmul variant %s, one row and many, in parts', async (variant, context) => {
    const sizes = [
      { m: 1, k: 96, n: 37, parts: 3, bias: true },
      { m: 65, k: 64, n: 67, parts: 2, residual: true },
    ].filter(({ m, k, n }) => !matmulObstacle(variant, { rows: m, k, n }, gpu().capabilities));
    context.skip(!sizes.length, 'not on this device');
    for (const size of sizes) await expectSolved(gpu(), matmulProblem({ ...size, format: int8 }), { variant });
  });

  it.each([...embeddingProblems([int8]), embeddingProblem([37, 13, 96, 3], int8)])('embedding of $name', (problem) =>
    expectSolved(gpu(), problem),
  );

  it.each([
    ...headResultProblems([int8]),
    // vectors of four, of two, and of one
    headResultProblem({ queries: 5, heads: 4, headSize: 8, dModel: 37, parts: 3 }, int8),
    headResultProblem({ queries: 5, heads: 16, headSize: 6, dModel: 37, parts: 2 }, int8),
    headResultProblem({ queries: 5, heads: 32, headSize: 7, dModel: 9 }, int8),
  ])('headResult of $name', (problem) => expectSolved(gpu(), problem));

  it('has a tensor for each buffer of each part', () => {
    const rec = gpu().record('tensors');
    const weight = makeWeight({ label: 'w', format: int8, shape: [7, 64], perPart: 4 }, (label, dtype, shape) =>
      rec.temp(label, dtype, shape),
    );
    expect(buffersOf(weight).map(({ label, dtype, shape }) => [label, dtype, ...shape])).toEqual([
      ['w[0:4]', 'u32', 4, 16],
      ['w[0:4] scales', 'f32', 4, 2],
      ['w[4:7]', 'u32', 3, 16],
      ['w[4:7] scales', 'f32', 3, 2],
    ]);
  });

  it('says which K it cannot take', () => {
    expect(() =>
      makeWeight({ label: 'w', format: int8, shape: [7, 40] }, () => {
        throw new Error('no tensor is made');
      }),
    ).toThrow('w: [7,40] cannot be stored as int8: rows of 40 are not of whole groups of 32');
  });

  it('is split by rows so that its largest buffer fits, and counted in bytes', () => {
    expect(formatBytes(int8, [10, 64])).toBe(10 * (64 + 2 * 4));
    expect(rowsPerPart(int8, [10, 64], 5 * 64 - 1)).toBe(4);
    expect(rowsPerPart(int8, [3, 64], 5 * 64 - 1)).toBe(3);
    expect(rowsPerPart(int8, [10, 64], 63)).toBe(0);
  });

  describe('loaded', () => {
    const small = useGpu({ maxStorageBufferBindingSize: 512 });
    const [rows, columns] = [19, 64];
    const values = random(rows * columns, 3);
    const specs = [
      { name: 'w', shape: [rows, columns], role: 'matrix' as const },
      { name: 'v', shape: [columns], role: 'vector' as const },
    ];
    const checkpoint = () => {
      const [halves] = f16.pack(values, [rows, columns]);
      const file = writeSafetensors([
        { name: 'w', dtype: 'F16', shape: [rows, columns], data: halves },
        tensorOf('v', [columns], values.slice(0, columns)),
      ]);
      return openCheckpoint(new MemoryFolder({ 'model.safetensors': file }));
    };

    it('is packed while it is read, in parts', async () => {
      const loaded = await loadTensors(small(), await checkpoint(), specs, { visionLayers: 0, formatOf: () => int8 });
      const weight = loaded.matrix('w');
      expect(weight.parts.map(({ label, shape }) => [label, ...shape])).toEqual([
        ['w[0:8]', 8, 64],
        ['w[8:16]', 8, 64],
        ['w[16:19]', 3, 64],
      ]);
      const rec = small().record('read');
      const read = weight.parts.map((part) => part.buffers.map((buffer) => rec.read(buffer)));
      const vector = rec.read(loaded.vector('v'));
      await rec.submit();
      const found = weight.parts.flatMap(({ shape }, i) => [
        ...int8.unpack(
          read[i].map(({ bytes }) => bytes!),
          shape,
        ),
      ]);
      const whole: MatrixShape = [rows, columns];
      const wanted = int8.unpack(int8.pack(f16.unpack(f16.pack(values, whole), whole), whole), whole);
      for (const [i, x] of found.entries()) expect(Math.abs(x - wanted[i])).toBeLessThan(1e-6);
      expect(vector.f32).toEqual(values.slice(0, columns));
      expect(loaded.bytes).toBe(formatBytes(int8, whole) + 4 * columns);
      loaded.destroy();
    });
  });

  it('is priced and recorded without weights', () => {
    const config = parseConfig(readJsonFixture('geometries/llava-hf--llava-1.5-7b-hf.json'));
    const matrices = /(embed_tokens|lm_head|_proj|fc\d|linear_\d)\.weight$/;
    const formatOf: FormatOf = ({ name }) => (matrices.test(name) ? int8 : f16);
    const limit = 2 ** 26;
    const prices = priceWeights(config, formatOf, limit);
    const embed = prices.tensors.find(({ name }) => name === 'language_model.embed_tokens.weight')!;
    const [vocabulary, dModel] = embed.shape;
    expect(embed.bytes).toBe(formatBytes(int8, [vocabulary, dModel]));
    expect(embed.parts).toBe(Math.ceil(vocabulary / Math.floor(limit / dModel)));
    expect(embed.buffers).toBe(2 * embed.parts);
    expect([...prices.dtypes.keys()].sort()).toEqual(['f16', 'int8']);

    const capabilities = { ...guaranteed, maxStorageBufferBindingSize: limit };
    const { text } = config;
    const checks = checkAdapter({ weights: prices, text, length: 100, cacheFormat: 'f16', runs: [] }, capabilities);
    expect(checks[0].text).toBe('language_model.embed_tokens.weight (140.9 MiB): split by rows into 4 buffers');

    const model = dryModel(config, formatOf, capabilities);
    const dispatches = model.dispatches({ inputIds: [1, 2, 3], visuals: [] }, { namesFilter: 'logits' });
    const [first] = dispatches.filter(({ label }) => label === 'blocks.0.attn.q_proj');
    expect(first.kernel).toMatch(/^matmul\.\w+ int8$/);
    expect(first.bindings.map(({ tensor }) => [tensor.dtype, ...tensor.shape]).slice(1, 3)).toEqual([
      ['u32', dModel, dModel / 4],
      ['f32', dModel, dModel / group],
    ]);
    expect(dispatches.filter(({ kernel }) => kernel === 'embedding int8')).toHaveLength(embed.parts);
  });
});

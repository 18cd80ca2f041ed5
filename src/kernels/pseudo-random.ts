import { byteSize, bytesPerElement, type DType, type Tensor, type Weight } from '../gpu/tensor.ts';

/** Seeded numbers in [-1, 1): a test that fails must fail again, and a benchmark see the same data in every run. */
export function pseudoRandom(count: number, seed: number): Float32Array<ArrayBuffer> {
  let state = (seed * 2654435761 + 12345) >>> 0;
  return new Float32Array(count).map(() => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    return (state >>> 8) / 2 ** 23 - 1;
  });
}

/** Where the tensors of a problem come into being: in a run, or for good. */
export type MakeTensor = (label: string, dtype: DType, shape: readonly number[], data: BufferSource) => Tensor;

export interface PseudoRandomWeight {
  /** The number at a row-major index. */
  readonly at: (index: number) => number;
  readonly make: (make: MakeTensor) => Weight;
}

/** A stored matrix [rows, columns] in `parts` of about equal row counts. */
export function pseudoRandomWeight(
  [rows, columns]: readonly [rows: number, columns: number],
  dtype: Exclude<DType, 'u32'>,
  parts = 1,
): PseudoRandomWeight {
  const perPart = Math.ceil(rows / parts);
  const stored = Array.from({ length: Math.ceil(rows / perPart) }, (_, part) => {
    const shape = [Math.min(perPart, rows - part * perPart), columns];
    const bits = pseudoRandomBits(byteSize(dtype, shape) / 4, dtype, part);
    return { shape, bits, at: numbersOf(bits, dtype) };
  });
  const perTensor = perPart * columns;
  return {
    at: (index) => stored[Math.floor(index / perTensor)].at(index % perTensor),
    make: (make) => ({
      label: 'weight',
      dtype,
      shape: [rows, columns],
      parts: stored.map(({ shape, bits }, part) => make(`weight ${part}`, dtype, shape, bits)),
    }),
  };
}

/** Bit patterns of numbers between 1 and 2, with both signs: valid in all three dtypes, and the host need not convert. */
function pseudoRandomBits(words: number, dtype: Exclude<DType, 'u32'>, seed: number): Uint32Array<ArrayBuffer> {
  const one = { f32: 0x3f800000, f16: 0x3c003c00, bf16: 0x3f803f80 }[dtype];
  const mask = { f32: 0x807fffff, f16: 0x83ff83ff, bf16: 0x807f807f }[dtype];
  let state = 7 + seed;
  return new Uint32Array(words).map(() => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    return (one | ((state ^ (state >>> 16) ^ (state << 13)) & mask)) >>> 0;
  });
}

/** The number at an index of stored bits. */
function numbersOf(bits: Uint32Array, dtype: Exclude<DType, 'u32'>): (i: number) => number {
  if (bytesPerElement[dtype] === 4) {
    const f32 = new Float32Array(bits.buffer);
    return (i) => f32[i];
  }
  const halves = new Uint16Array(bits.buffer);
  const [fraction, one] = dtype === 'f16' ? [0x3ff, 1024] : [0x7f, 128];
  return (i) => (halves[i] & 0x8000 ? -1 : 1) * (1 + (halves[i] & fraction) / one);
}

import { ShapeError } from '../gpu/errors.ts';
import type { Format, MatrixShape } from '../gpu/formats/format.ts';
import { byteSize, type DType, type Tensor } from '../gpu/tensor.ts';
import { makeWeight, type Weight } from '../gpu/weight.ts';

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
  /** The number at a row-major index, as it is stored. */
  readonly at: (index: number) => number;
  readonly make: (make: MakeTensor) => Weight;
}

/** Numbers of which the host packs the first so many; of larger matrices the rows repeat. */
const mostDistinct = 2 ** 20;

/** A stored matrix [rows, columns] in `parts` of about equal row counts. Its elements are between 1 and 2, of both signs. */
export function pseudoRandomWeight([rows, columns]: MatrixShape, format: Format, parts = 1): PseudoRandomWeight {
  const obstacle = format.obstacle(columns);
  if (obstacle) throw new ShapeError(`a weight [${rows},${columns}] of ${format.name}: ${obstacle}`);
  // Multiples of four rows of any format take whole words.
  const distinct = Math.min(rows, 4 * Math.ceil(mostDistinct / columns / 4));
  const values = pseudoRandom(distinct * columns, 7).map((x) => x + (x < 0 ? -1 : 1));
  const perPart = Math.ceil(rows / parts);
  const stored = Array.from({ length: Math.ceil(rows / perPart) }, (_, part) => {
    const first = part * perPart;
    const whole = [Math.min(perPart, rows - first), columns] as const;
    const shape = [Math.min(distinct, whole[0]), columns] as const;
    const block = Float32Array.from(
      { length: shape[0] * columns },
      (_, i) => values[(first * columns + i) % values.length],
    );
    const packed = format.pack(block, shape);
    const sizes = format.buffers(whole).map(({ dtype, shape }) => byteSize(dtype, shape));
    return { packed: packed.map((bytes, i) => repeated(bytes, sizes[i])), numbers: format.unpack(packed, shape) };
  });
  const packed = stored.map((part) => part.packed);
  return {
    at(index) {
      const part = Math.floor(index / (perPart * columns));
      const { numbers } = stored[part];
      return numbers[(index - part * perPart * columns) % numbers.length];
    },
    make: (make) =>
      makeWeight({ label: 'weight', format, shape: [rows, columns], perPart, packed }, (label, dtype, shape, data) =>
        make(label, dtype, shape, data!),
      ),
  };
}

function repeated(bytes: Uint8Array<ArrayBuffer>, length: number): Uint8Array<ArrayBuffer> {
  if (bytes.length === length) return bytes;
  const all = new Uint8Array(length);
  for (let at = 0; at < length; at += bytes.length) all.set(bytes.subarray(0, length - at), at);
  return all;
}

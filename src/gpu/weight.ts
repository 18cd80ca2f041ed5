// Matrices as formats store them.
import { ShapeError } from './errors.ts';
import type { Format, MatrixShape } from './formats/format.ts';
import type { DType, Tensor } from './tensor.ts';

/** A matrix [rows, columns] in its format's buffers: what a kernel binds. */
export interface StoredMatrix {
  readonly label: string;
  readonly format: Format;
  readonly shape: MatrixShape;
  /** As `format.buffers` says. */
  readonly buffers: readonly Tensor[];
}

/** A stored matrix [rows, columns], split by rows into parts where one binding cannot hold it. */
export interface Weight {
  readonly label: string;
  readonly format: Format;
  readonly shape: MatrixShape;
  readonly parts: readonly StoredMatrix[];
}

type MakeTensor = (label: string, dtype: DType, shape: readonly number[], data?: Uint8Array<ArrayBuffer>) => Tensor;

interface WeightOptions extends Omit<Weight, 'parts'> {
  /** Rows of each part, of the last one what is left. Default: all in one. */
  readonly perPart?: number;
  /** What is to be in the buffers of each part, as `format.pack` gives it. */
  readonly packed?: readonly (readonly Uint8Array<ArrayBuffer>[])[];
}

/**
 * @param make makes the tensor of a buffer.
 * @throws ShapeError where the format cannot hold rows of so many columns.
 */
export function makeWeight(
  { label, format, shape, perPart = shape[0], packed }: WeightOptions,
  make: MakeTensor,
): Weight {
  const [rows, columns] = shape;
  const parts: StoredMatrix[] = [];
  for (let start = 0; start < rows; start += perPart) {
    const end = Math.min(rows, start + perPart);
    const name = perPart < rows ? `${label}[${start}:${end}]` : label;
    parts.push(makeMatrix({ label: name, format, shape: [end - start, columns] }, make, packed?.[parts.length]));
  }
  return { label, format, shape, parts };
}

/** The same of one part alone. */
export function makeMatrix(
  { label, format, shape }: Omit<StoredMatrix, 'buffers'>,
  make: MakeTensor,
  packed?: readonly Uint8Array<ArrayBuffer>[],
): StoredMatrix {
  const obstacle = format.obstacle(shape[1]);
  if (obstacle) throw new ShapeError(`${label}: [${shape}] cannot be stored as ${format.name}: ${obstacle}`);
  const buffers = format
    .buffers(shape)
    .map(({ what, dtype, shape }, i) => make(what ? `${label} ${what}` : label, dtype, shape, packed?.[i]));
  return { label, format, shape, buffers };
}

/** All buffers of a weight. */
export const buffersOf = ({ parts }: Weight): Tensor[] => parts.flatMap((part) => part.buffers);

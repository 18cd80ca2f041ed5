// Memory for a model's tensors, on a GPU or on one that is not there.
import { f32 } from '../gpu/formats/f32.ts';
import { type Format, matrixShape, rowsPerPart } from '../gpu/formats/format.ts';
import { byteSize, type DType, isBindable, reshape, rows, type Tensor } from '../gpu/tensor.ts';
import { makeMatrix, makeWeight, type StoredMatrix, type Weight } from '../gpu/weight.ts';
import { CheckpointError } from './errors.ts';
import { type Placement, partShape, specKey, type TensorSpec } from './specs.ts';

/** Tensors found by the names of their specs. */
export interface Allocated {
  matrix(name: string, shape?: readonly number[], placement?: Placement): Weight;
  vector(name: string, shape?: readonly number[], placement?: Placement): Tensor;
}

export interface AllocateOptions {
  /** The format that a matrix is to have. */
  readonly formatOf: (spec: TensorSpec) => Format;
  /** Bytes that can be bound at once: a larger matrix is split by rows into parts. */
  readonly limit: number;
  /** Leave a matrix whole of which not even one row can be bound, instead of refusing it. */
  readonly keepsTooWide?: boolean;
  /** Makes the tensor of a buffer. */
  readonly make: (label: string, dtype: DType, shape: readonly number[]) => Tensor;
}

/**
 * Makes the tensors that `specs` name: matrices in their formats, vectors in f32. Those of one stack are views of one tensor, if that
 * can be bound as a whole and each view by itself; else each has its own.
 * @throws CheckpointError for a matrix of which not even one row can be bound.
 */
export function allocate(specs: readonly TensorSpec[], options: AllocateOptions): Allocated {
  const stacks = new Map<string, TensorSpec[]>();
  for (const spec of specs) {
    const stack = spec.stack ?? specKey(spec);
    stacks.set(stack, [...(stacks.get(stack) ?? []), spec]);
  }
  const matrices = new Map<string, Weight>();
  const vectors = new Map<string, Tensor>();
  for (const [stack, members] of stacks) {
    const views = members.length > 1 ? makeStack(stack, members, options) : undefined;
    for (const [i, spec] of members.entries()) {
      const key = specKey(spec);
      const view = views?.[i];
      if (spec.role === 'matrix') matrices.set(key, view ? { ...view, parts: [view] } : makeAlone(spec, options));
      else
        vectors.set(key, view ? reshape(view.buffers[0], partShape(spec)) : options.make(key, 'f32', partShape(spec)));
    }
  }
  const find = <T>(map: Map<string, T>, role: TensorSpec['role'], name: string): T => {
    const found = map.get(name);
    if (!found) throw new CheckpointError(`${name}: no ${role} of this name was loaded`);
    return found;
  };
  return {
    matrix: (name, _, { part } = {}) => find(matrices, 'matrix', specKey({ name, part })),
    vector: (name, _, { part } = {}) => find(vectors, 'vector', specKey({ name, part })),
  };
}

/** A matrix in as many parts as it takes. */
function makeAlone(spec: TensorSpec, { formatOf, limit, keepsTooWide, make }: AllocateOptions): Weight {
  const format = formatOf(spec);
  const shape = matrixShape(partShape(spec));
  const perPart = rowsPerPart(format, shape, limit) || (keepsTooWide ? shape[0] : 0);
  if (!perPart)
    throw new CheckpointError(
      `${spec.name}: one row of [${shape.join(', ')}] ${format.name} exceeds the ${limit} bytes that this adapter can bind`,
    );
  return makeWeight({ label: specKey(spec), format, shape, perPart }, make);
}

/** Views of one matrix, in the order of `members`, or nothing where that cannot be. Vectors are columns of f32. */
function makeStack(
  label: string,
  members: readonly TensorSpec[],
  { formatOf, limit, make }: AllocateOptions,
): StoredMatrix[] | undefined {
  const [format, ...others] = members.map((spec) => (spec.role === 'matrix' ? formatOf(spec) : f32));
  const shapes = members.map((spec) => matrixShape(partShape(spec)));
  const [[, columns]] = shapes;
  if (others.some((other) => other !== format) || shapes.some((shape) => shape[1] !== columns)) return undefined;
  let count = 0;
  const starts = shapes.map(([rows]) => {
    count += rows;
    return count - rows;
  });
  const viewsOf = (buffer: Tensor) => shapes.map(([height], i) => rows(buffer, starts[i], starts[i] + height));
  const shape = [count, columns] as const;
  const planned = format.buffers(shape).map(({ dtype, shape }): Tensor => {
    const size = byteSize(dtype, shape);
    return { label, dtype, shape, offset: 0, storage: { label, size, buffer: undefined } };
  });
  if (planned.some((buffer) => buffer.storage.size > limit || !viewsOf(buffer).every(isBindable))) return undefined;
  const views = makeMatrix({ label, format, shape }, make).buffers.map(viewsOf);
  return members.map((spec, i) => {
    let next = 0;
    return makeMatrix({ label: specKey(spec), format, shape: shapes[i] }, (label) => ({ ...views[next++][i], label }));
  });
}

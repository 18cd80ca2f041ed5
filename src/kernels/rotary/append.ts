import { ShapeError } from '../../gpu/errors.ts';
import { type Dispatch, type Recorder, read, readWrite } from '../../gpu/recorder.ts';
import { bytesPerElement, expectDType, expectShape, type Tensor } from '../../gpu/tensor.ts';
import { foldWorkgroups, vectorWidth } from '../vectors.ts';
import { rotateAndAppendWgsl } from './append.wgsl.ts';
import { expectRoom, storedFormat } from './rotary.ts';

/** Where q, k and v of T rows go, and by which angles q and k are turned on the way. */
export interface AppendArgs {
  /** [T, D] f32: D/2 cosines, then D/2 sines of each row's position */
  table: Tensor;
  /** [batch * S, kvHeads, D] with S >= outRow + T / batch */
  keys: Tensor;
  /** As `keys`, of the same dtype. */
  values: Tensor;
  /** Of q. */
  heads: number;
  /** [T, heads, D] f32, q; default: a temporary. */
  out?: Tensor;
  /** Where in each of the `batch` sequences of a cache the rows go. */
  outRow: number;
  batch?: number;
  /** They are of a step of a generation: those of each later one go one row further (`Dispatch.later`). */
  moves?: boolean;
  label: string;
}

/**
 * What `rotaryEmbedding` of q, the same of k into its cache and `copyRows` of v into its own give, in one dispatch, from one matrix that
 * holds all three side by side.
 * @param args.qkv [T, (heads + 2 * kvHeads) * D] f32: in a row the heads of q, then those of k, then those of v
 * @returns q, turned
 * @throws ShapeError
 */
export function rotateAndAppend(rec: Recorder, args: AppendArgs & { qkv: Tensor }): Tensor {
  const where = 'rotateAndAppend';
  const { qkv, table, keys, values, heads, label } = args;
  expectDType(where, qkv, 'f32');
  expectShape(where, qkv, [-1, -1]);
  const [length, columns] = qkv.shape;
  const { q, kvHeads, headSize, place, cost } = appendTo(rec, where, { label: qkv.label, length, columns }, args);
  const width = vectorWidth(headSize / 2);
  const stored = storedFormat(where, keys, width);
  const pairs = (length * columns) / 2 / width;
  rec.dispatch({
    kernel: stored ? `rotateAndAppend ${stored.name}` : 'rotateAndAppend',
    label,
    code: rotateAndAppendWgsl({ heads, kvHeads, headSize, width, stored }),
    bindings: [read(qkv), read(table), readWrite(q), readWrite(keys), readWrite(values)],
    ...place(pairs),
    workgroups: foldWorkgroups(Math.ceil(pairs / 64), rec.gpu.capabilities.maxWorkgroupsPerDimension),
    cost: { flops: cost.flops, bytes: cost.bytes + 4 * length * columns },
  });
  return q;
}

/**
 * Checks where q, k and v go, of rows that hold them side by side.
 * @returns q's tensor, the sizes of its heads, a dispatch's params (those given, then outRow, perSequence and pitch), now and in later steps,
 *   and what turning and writing cost.
 * @throws ShapeError
 */
export function appendTo(
  rec: Recorder,
  where: string,
  { label: of, length, columns }: { label: string; length: number; columns: number },
  { table, keys, values, heads, out, outRow, batch = 1, moves, label }: AppendArgs,
) {
  expectShape(where, keys, [-1, -1, -1]);
  expectShape(where, values, keys.shape);
  expectDType(where, values, keys.dtype);
  const [, kvHeads, headSize] = keys.shape;
  if (headSize % 2)
    throw new ShapeError(`${keys.label}: [${keys.shape}] has no pairs in a head of odd size (in ${where})`);
  expectShape(where, { label: of, shape: [length, columns] }, [length, (heads + 2 * kvHeads) * headSize]);
  expectDType(where, table, 'f32');
  expectShape(where, table, [length, headSize]);
  const q = out ?? rec.temp(label, 'f32', [length, heads, headSize]);
  expectDType(where, q, 'f32');
  expectShape(where, q, [length, heads, headSize]);
  const own = { label: `k of ${of}`, shape: [length, kvHeads, headSize] };
  const { perSequence, pitch, fits } = expectRoom(where, own, keys, outRow, batch);
  const place = (...before: number[]): Pick<Dispatch, 'params' | 'later'> => {
    const at = (row: number) => [...before, row, perSequence, pitch];
    const later = (steps: number) => (fits(outRow + steps) ? at(outRow + steps) : undefined);
    return { params: at(outRow), later: moves ? later : undefined };
  };
  const cost = {
    flops: 3 * length * (heads + kvHeads) * headSize,
    bytes: length * headSize * (4 * heads + 2 * bytesPerElement[keys.dtype] * kvHeads + 4),
  };
  return { q, kvHeads, headSize, place, cost };
}

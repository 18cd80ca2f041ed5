import { ShapeError } from '../../gpu/errors.ts';
import type { Format } from '../../gpu/formats/format.ts';
import { formatOf } from '../../gpu/formats/index.ts';
import { type Cost, type Recorder, read, readWrite } from '../../gpu/recorder.ts';
import { bytesPerElement, elementCount, expectDType, expectShape, type Tensor } from '../../gpu/tensor.ts';
import { convertTensor } from '../convert/convert.ts';
import { foldWorkgroups, vectorWidth } from '../vectors.ts';
import { copyRowsContract, copyRowsWgsl, rotaryContract, rotaryWgsl } from './rotary.wgsl.ts';

/**
 * Rotary position embedding over the whole head, in the pairs (i, i + D/2) of HF's `rotate_half` (`apply_rotary_pos_emb`).
 * @param args.x [T, heads, D] f32
 * @param args.table [T, D] f32: D/2 cosines, then D/2 sines of each row's position
 * @param args.out [batch * S, heads, D] with S >= outRow + T / batch, for example the key cache; default: a temporary. It may be of
 *   16 bits where D is a multiple of 8.
 * @param args.outRow where in each of the `batch` sequences of `out` the rows go
 * @param args.moves they are of a step of a generation: those of each later one go one row further (`Dispatch.later`)
 * @returns `out`
 * @throws ShapeError
 */
export function rotaryEmbedding(
  rec: Recorder,
  args: { x: Tensor; table: Tensor; label: string; out?: Tensor; outRow?: number; batch?: number; moves?: boolean },
): Tensor {
  const { x, table, label, outRow = 0, batch = 1 } = args;
  expectDType('rotary', x, 'f32');
  expectDType('rotary', table, 'f32');
  expectShape('rotary', x, [-1, -1, -1]);
  const [length, heads, headSize] = x.shape;
  if (headSize % 2) throw new ShapeError(`${x.label}: [${x.shape}] has no pairs in a head of odd size (in rotary)`);
  expectShape('rotary', table, [length, headSize]);
  const out = args.out ?? rec.temp(label, 'f32', [outRow * batch + length, heads, headSize]);
  const rows = expectRoom('rotary', x, out, outRow, batch);
  const width = vectorWidth(headSize / 2);
  const stored = storedFormat('rotary', out, width);
  if (stored && rec.replaces('rotary', label)) {
    const turned = rotaryEmbedding(rec, { x, table, label });
    copyRows(rec, { x: turned, out, outRow, batch, moves: args.moves, label: `${label} cache` });
    return out;
  }
  const pairs = (length * heads * headSize) / 2 / width;
  rec.dispatch({
    kernel: stored ? `rotary ${stored.name}` : 'rotary',
    label,
    code: rotaryWgsl(heads, headSize, width, stored),
    bindings: [read(x), read(table), readWrite(out)],
    params: [pairs, outRow, rows.perSequence, rows.pitch],
    later: args.moves
      ? (steps) => (rows.fits(outRow + steps) ? [pairs, outRow + steps, rows.perSequence, rows.pitch] : undefined)
      : undefined,
    workgroups: foldWorkgroups(Math.ceil(pairs / 64), rec.gpu.capabilities.maxWorkgroupsPerDimension),
    cost: rotaryCost(length, heads, headSize, out),
    header: () => rotaryContract(heads, headSize, width, stored),
    sizes: { rows: length, heads, headSize },
  });
  return out;
}

const rotaryCost = (length: number, heads: number, headSize: number, { dtype }: Tensor): Cost => ({
  flops: 3 * length * heads * headSize,
  bytes: length * headSize * ((4 + bytesPerElement[dtype]) * heads + 4),
});

/**
 * The format that a kernel stores its numbers in, where `out` is not f32.
 * @param width of the vectors that the kernel computes: units of four are what formats of 16 bits write.
 */
export function storedFormat(where: string, out: Tensor, width: number): Format | undefined {
  if (out.dtype === 'f32') return undefined;
  expectDType(where, out, 'f16', 'bf16');
  if (width !== 4)
    throw new ShapeError(
      `${out.label}: rows of [${out.shape.slice(1)}] cannot be stored as ${out.dtype}, which takes four numbers at once (in ${where})`,
    );
  return formatOf(out);
}

/**
 * Copies x [T, …] over the rows of `out` from `outRow` on, in each of `batch` sequences: appends values to their cache. It
 * is a kernel because a buffer copy would end the pass. Numbers of f32 may go into an `out` of 16 bits. `moves` as in rotaryEmbedding.
 * @throws ShapeError, also for rows of 16-bit elements that do not fill words of 4 bytes
 */
export function copyRows(
  rec: Recorder,
  args: { x: Tensor; out: Tensor; outRow: number; label: string; batch?: number; moves?: boolean },
): void {
  const { x, out, outRow, label, batch = 1 } = args;
  const { perSequence, pitch, fits } = expectRoom('copyRows', x, out, outRow, batch);
  const [length, ...rest] = x.shape;
  if (x.dtype !== 'f32') expectDType('copyRows', out, x.dtype);
  else if (out.dtype !== 'f32' && rec.replaces('copyRows', label)) {
    copyRows(rec, { ...args, x: convertTensor(rec, x, out.dtype) }); // a custom kernel copies words
    return;
  }
  const words = (elementCount(rest) * bytesPerElement[x.dtype]) / 4;
  if (!Number.isInteger(words))
    throw new ShapeError(`${x.label}: rows of [${rest}] ${x.dtype} do not fill words of 4 bytes (in copyRows)`);
  const width = vectorWidth(words);
  const stored = x.dtype === out.dtype ? undefined : storedFormat('copyRows', out, width);
  const count = (length * words) / width;
  rec.dispatch({
    kernel: stored ? `copyRows ${stored.name}` : 'copyRows',
    label,
    code: copyRowsWgsl(width, stored),
    bindings: [read(x), readWrite(out)],
    params: [count, words / width, outRow, perSequence, pitch],
    later: args.moves
      ? (steps) => (fits(outRow + steps) ? [count, words / width, outRow + steps, perSequence, pitch] : undefined)
      : undefined,
    workgroups: foldWorkgroups(Math.ceil(count / 64), rec.gpu.capabilities.maxWorkgroupsPerDimension),
    cost: { flops: 0, bytes: length * words * (stored ? 4 + bytesPerElement[out.dtype] : 8) },
    header: () => copyRowsContract(width, stored),
    sizes: { rows: length, words },
  });
}

/** Rows of x in a sequence, rows of `out` from one sequence to the next, and whether those of x fit from a row on. */
export function expectRoom(
  where: string,
  x: Pick<Tensor, 'label' | 'shape'>,
  out: Tensor,
  outRow: number,
  batch: number,
) {
  expectShape(where, out, [-1, ...x.shape.slice(1)]);
  const [perSequence, pitch] = [x.shape[0] / batch, out.shape[0] / batch];
  if (!(Number.isInteger(perSequence) && Number.isInteger(pitch)))
    throw new ShapeError(
      `${x.label} [${x.shape}] or ${out.label} [${out.shape}] is not ${batch} sequences (in ${where})`,
    );
  const fits = (row: number) => Number.isInteger(row) && row >= 0 && row + perSequence <= pitch;
  if (!fits(outRow))
    throw new ShapeError(
      `${out.label}: [${out.shape}] has no room for ${x.label} [${x.shape}] at row ${outRow} (in ${where})`,
    );
  return { perSequence, pitch, fits };
}

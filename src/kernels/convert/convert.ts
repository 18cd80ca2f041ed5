import { ShapeError } from '../../gpu/errors.ts';
import { formatBytes, matrixShape } from '../../gpu/formats/format.ts';
import { formatOf } from '../../gpu/formats/index.ts';
import { type Recorder, read, readWrite } from '../../gpu/recorder.ts';
import type { DType, Tensor } from '../../gpu/tensor.ts';
import type { StoredMatrix } from '../../gpu/weight.ts';
import { cachedText } from '../cached-text.ts';
import { foldWorkgroups } from '../vectors.ts';
import { convertThreads, convertWgsl } from './convert.wgsl.ts';

const wgslOf = cachedText(convertWgsl);

/**
 * Stores rows of one matrix in another one, of another format.
 * @param from [rows, K]: all of its rows. @param to [at least firstRow + rows, K]
 * @param firstRow where the first of them goes: a multiple of four. So is the count of rows, but for the last ones.
 * @throws ShapeError for matrices of another K, a K that is no multiple of 4, rows that do not fit, or a format that no kernel writes.
 */
export function convert(
  rec: Recorder,
  { from, to, firstRow = 0 }: { from: StoredMatrix; to: StoredMatrix; firstRow?: number },
): void {
  const [rows, columns] = from.shape;
  const { writer } = to.format;
  const fail = (problem: string) =>
    new ShapeError(`${from.label} [${from.shape}] to ${to.label} [${to.shape}]: ${problem}`);
  if (!writer) throw fail(`no kernel writes ${to.format.name}`);
  if (to.shape[1] !== columns) throw fail('rows of another length');
  if (columns % 4) throw fail(`rows of ${columns} numbers, which are no multiple of 4`);
  if (firstRow + rows > to.shape[0] || firstRow % 4) throw fail(`rows from ${firstRow} on`);
  if ((rows * columns) % writer.unit && firstRow + rows < to.shape[0])
    throw fail(`${rows} rows are no whole units of ${writer.unit} numbers, and there are rows behind them`);
  const units = Math.ceil((rows * columns) / writer.unit);
  rec.dispatch({
    kernel: `convert ${from.format.name} ${to.format.name}`,
    label: to.label,
    code: wgslOf(from.format, to.format),
    bindings: [...from.buffers.map(read), ...to.buffers.map(readWrite)],
    params: [units, (firstRow * columns) / writer.unit, (rows * columns) / 4],
    workgroups: foldWorkgroups(Math.ceil(units / convertThreads), rec.gpu.capabilities.maxWorkgroupsPerDimension),
    cost: { flops: 0, bytes: formatBytes(from.format, from.shape) + formatBytes(to.format, from.shape) },
  });
}

/** The numbers of a tensor in another format, in a temporary; the tensor itself where it has that format. @throws as `convert` */
export function convertTensor(rec: Recorder, tensor: Tensor, dtype: DType): Tensor {
  if (tensor.dtype === dtype) return tensor;
  const out = rec.temp(`${tensor.label} in ${dtype}`, dtype, tensor.shape);
  convert(rec, { from: asMatrix(tensor), to: asMatrix(out) });
  return out;
}

const asMatrix = (tensor: Tensor): StoredMatrix => ({
  label: tensor.label,
  format: formatOf(tensor),
  shape: matrixShape(tensor.shape),
  buffers: [tensor],
});

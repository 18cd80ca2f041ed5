// Stages that are wider than the residual stream run in chunks of rows, so that no tensor exceeds what every adapter binds.
import type { GpuContext } from '../../gpu/context.ts';
import { rows, type Tensor } from '../../gpu/tensor.ts';

/** What every adapter binds. More at a time would need more memory, and gain nothing: some hundred rows keep a GPU busy. */
const mostBytes = 128 * 2 ** 20;

/** Rows of a chunk are a multiple of this, so that it begins where a binding may begin, whatever the width. */
export const rowStep = 64;

/** How many rows of f32 of this width are bound at a time. */
export const mostRows = ({ capabilities }: GpuContext, width: number): number =>
  Math.floor(Math.min(mostBytes, capabilities.maxStorageBufferBindingSize) / (4 * width));

/**
 * Records what is to be done to `count` rows, at once or in chunks, all of them about as large.
 * @param width numbers of the widest row.
 * @param record takes what gives a chunk of a tensor of `count` rows.
 */
export function inChunks(
  gpu: GpuContext,
  count: number,
  width: number,
  record: (chunk: (tensor: Tensor) => Tensor) => void,
): void {
  const atOnce = rowsAtOnce(count, mostRows(gpu, width));
  const chunk = (start: number) => (tensor: Tensor) =>
    atOnce === count ? tensor : rows(tensor, start, Math.min(count, start + atOnce));
  for (let start = 0; start < count; start += atOnce) record(chunk(start));
}

function rowsAtOnce(count: number, most: number): number {
  if (count <= most) return count;
  const even = rowStep * Math.ceil(count / Math.ceil(count / most) / rowStep);
  return Math.min(count, Math.max(rowStep, Math.min(even, rowStep * Math.floor(most / rowStep))));
}

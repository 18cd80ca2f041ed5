import { ShapeError } from '../../gpu/errors.ts';
import { type Recorder, read, readWrite } from '../../gpu/recorder.ts';
import { elementCount, type Tensor } from '../../gpu/tensor.ts';
import { cachedText } from '../cached-text.ts';
import { foldWorkgroups } from '../vectors.ts';
import type { AttentionShape } from './attention.wgsl.ts';
import {
  attentionDecodeWgsl,
  attentionMergeWgsl,
  decodeHeads,
  decodeSplits,
  decodes,
  mergeThreads,
} from './decode.wgsl.ts';
import { attentionCost, attentionParams, type Geometry, type QueryKeyArgs } from './shapes.ts';

const decodeText = cachedText(attentionDecodeWgsl);
const mergeText = cachedText(attentionMergeWgsl);

/** Workgroups of one split, and how many splits there are. */
function division(g: Geometry, shape: AttentionShape, wanted?: number) {
  const [x, y, z] = [g.queries, g.heads / decodeHeads(shape), g.batch];
  const keys = Math.min(g.keys, g.window ?? g.keys);
  return { x, y, z, splits: decodeSplits(x * y * z, keys, wanted) };
}

/** Into how many parts `decode` splits the keys of each query. */
export const splitsOf = (g: Geometry, shape: AttentionShape): number => division(g, shape).splits;

interface Decode {
  readonly g: Geometry;
  readonly shape: AttentionShape;
  /** The output. */
  readonly z: Tensor;
  /** See `decodeSplits`. */
  readonly wanted?: number;
  /** The geometry so many steps of a generation later; nothing where another variant would run. */
  readonly later: (steps: number) => Geometry | undefined;
}

/** Records variant `decode`: sums of splits, and what they make together. */
export function recordDecode(
  rec: Recorder,
  { q, k, v, scale, label, moves }: QueryKeyArgs & { v: Tensor },
  { g, shape, z, wanted, later }: Decode,
): void {
  if (!decodes(shape))
    throw new ShapeError(`${label}: variant decode has no segments, and heads of 128 vectors at most (in attention)`);
  const { x, y, z: batch, splits } = division(g, shape, wanted);
  const rows = (elementCount(q.shape) / g.headSize) * splits;
  const partial = rec.temp(`${label} of splits`, 'f32', [rows, g.headSize]);
  const stats = rec.temp(`${label} of splits, sums`, 'f32', [rows, 2]);
  rec.dispatch({
    kernel: ['attention.decode', g.mask, g.stored?.name].filter(Boolean).join(' '),
    label,
    code: decodeText(shape),
    bindings: [read(q), read(k), read(v), readWrite(partial), readWrite(stats)],
    params: attentionParams(g, scale),
    later: moves
      ? (steps) => {
          const moved = later(steps);
          return moved && division(moved, shape, wanted).splits === splits ? attentionParams(moved, scale) : undefined;
        }
      : undefined,
    workgroups: [x * splits, y, batch],
    cost: attentionCost(g, k),
  });
  const vectors = elementCount(z.shape) / g.width;
  rec.dispatch({
    kernel: 'attention.merge',
    label,
    code: mergeText({ headSize: g.headSize, width: g.width }),
    bindings: [read(partial), read(stats), readWrite(z)],
    params: [vectors, splits],
    workgroups: foldWorkgroups(Math.ceil(vectors / mergeThreads), rec.gpu.capabilities.maxWorkgroupsPerDimension),
    cost: { flops: 2 * rows * g.headSize, bytes: 4 * (rows * (g.headSize + 2) + elementCount(z.shape)) },
  });
}

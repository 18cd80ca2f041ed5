import { ShapeError } from '../../gpu/errors.ts';
import type { Format } from '../../gpu/formats/format.ts';
import { formatOf } from '../../gpu/formats/index.ts';
import { type Cost, floatBits } from '../../gpu/recorder.ts';
import { bytesPerElement, expectDType, expectShape, type Tensor } from '../../gpu/tensor.ts';
import { type VectorWidth, vectorWidth } from '../vectors.ts';
import type { Mask } from './mask.wgsl.ts';

/** What attention and its materialising variant have in common. */
export interface QueryKeyArgs {
  /** [batch * T, H, D] f32 */
  q: Tensor;
  /** [batch * S, KV, D] f32, S >= keys; query head h reads key/value head floor(h / (H / KV)). Of 16 bits in a cache. */
  k: Tensor;
  /** Rows of each sequence's k and v that count; default all S. A key/value cache is longer than what is filled of it. */
  keys?: number;
  /** Independent sequences of equal length; default 1. */
  batch?: number;
  /** Query i of a sequence stands at position offset + i and sees the keys up to there; else it sees all. */
  causal: boolean;
  /** Default keys - T: the queries are the last positions. */
  offset?: number;
  /** Of the keys that `causal` leaves, a query sees the last so many, its own position among them (HF `sliding_window`). */
  window?: number;
  /**
   * [T, 2] u32, without `causal` and for one sequence: query i sees the keys from segments[i][0] to before segments[i][1].
   * The host is to check that each interval holds a key and ends at or before `keys`: `segmentsOf` makes such.
   */
  segments?: Tensor;
  /** Pairs of a query and a key in all `segments`, for the cost; default all there are. */
  pairs?: number;
  /** Multiplies q·k; D ** -0.5 in all models so far. */
  scale: number;
  /** It is a step of a generation: in each later one there is a key more, and the queries stand one further (`Dispatch.later`). */
  moves?: boolean;
  label: string;
}

export interface Geometry {
  readonly batch: number;
  readonly queries: number;
  readonly heads: number;
  readonly kvHeads: number;
  readonly headSize: number;
  readonly keys: number;
  /** Rows that k and v have for each sequence. */
  readonly keyRows: number;
  /** Query i sees the keys up to offset + i; without a mask it is `keys`, and they see all. */
  readonly offset: number;
  readonly width: VectorWidth;
  /** Of k and v, where they are not f32. */
  readonly stored?: Format;
  /** Undefined too for a window that no query fills. */
  readonly mask?: Mask;
  readonly window?: number;
  readonly pairs?: number;
}

/** Checks the arguments and names their sizes. @throws ShapeError naming the tensor, the shapes and the rule. */
export function geometry(where: string, { q, k, causal, label, ...args }: QueryKeyArgs): Geometry {
  const { batch = 1 } = args;
  expectDType(where, q, 'f32');
  expectDType(where, k, 'f32', 'f16', 'bf16');
  expectShape(where, q, [-1, -1, -1]);
  const [queryRows, heads, headSize] = q.shape;
  expectShape(where, k, [-1, -1, headSize]);
  const [allKeyRows, kvHeads] = k.shape;
  if (!(Number.isInteger(batch) && batch >= 1 && queryRows % batch === 0 && allKeyRows % batch === 0))
    throw new ShapeError(
      `${label}: ${q.label} [${q.shape}] and ${k.label} [${k.shape}] do not split into ${batch} sequences (in ${where})`,
    );
  if (!(kvHeads >= 1 && heads % kvHeads === 0))
    throw new ShapeError(
      `${label}: the ${heads} heads of ${q.label} are no multiple of the ${kvHeads} of ${k.label} (in ${where})`,
    );
  const queries = queryRows / batch;
  const keyRows = allKeyRows / batch;
  const keys = args.keys ?? keyRows;
  if (!(Number.isInteger(keys) && keys >= 1 && keys <= keyRows))
    throw new ShapeError(`${label}: ${keys} keys of ${k.label}, which has ${keyRows} a sequence (in ${where})`);
  const offset = causal ? (args.offset ?? keys - queries) : keys;
  if (!(Number.isInteger(offset) && offset >= 0))
    throw new ShapeError(
      `${label}: the first of ${queries} queries would stand at position ${offset} of ${keys} keys; give offset (in ${where})`,
    );
  const { window, segments, pairs } = args;
  if (window !== undefined && !(causal && Number.isInteger(window) && window >= 1))
    throw new ShapeError(`${label}: a window of ${window} keys; it is to be 1 or more, and causal (in ${where})`);
  if (window !== undefined && offset + queries - window >= keys)
    throw new ShapeError(
      `${label}: the query at position ${offset + queries - 1} sees none of ${keys} keys through a window of ${window} (in ${where})`,
    );
  if (segments) {
    expectDType(where, segments, 'u32');
    expectShape(where, segments, [queries, 2]);
    if (causal || batch > 1 || args.offset)
      throw new ShapeError(`${label}: segments are for one sequence, without causal and offset (in ${where})`);
  }
  const slides = window !== undefined && window < offset + queries;
  return {
    batch,
    queries,
    heads,
    kvHeads,
    headSize,
    keys,
    keyRows,
    offset,
    width: k.dtype === 'f32' ? vectorWidth(headSize) : headSize % 4 ? 1 : 4, // what formats read at once
    stored: k.dtype === 'f32' ? undefined : formatOf(k),
    mask: segments ? 'segments' : slides ? 'window' : undefined,
    window,
    pairs,
  };
}

/** The same so many steps of a generation later; nothing where k has no room for them, or another mask applies by then. */
export function laterGeometry(where: string, args: QueryKeyArgs, g: Geometry, steps: number): Geometry | undefined {
  const [keys, offset] = [g.keys + steps, g.offset + steps];
  if (keys > g.keyRows) return undefined;
  const later = geometry(where, { ...args, keys, offset });
  return later.mask === g.mask ? later : undefined;
}

/** The params of attention's kernels (`AttentionShape` has the rest). */
export const attentionParams = ({ queries, keys, keyRows, offset, window = 0 }: Geometry, scale: number): number[] => [
  queries,
  keys,
  keyRows,
  offset,
  floatBits(scale),
  window,
];

/** For a custom kernel: the sizes by name, and which keys a query sees. */
export const sizesOf = ({ batch, queries, heads, kvHeads, headSize, keys, keyRows, offset, mask }: Geometry) => ({
  batch,
  queries,
  heads,
  kvHeads,
  headSize,
  keys,
  keyRows,
  mask: mask ?? (offset >= keys ? 'full' : 'causal'),
});

/** Pairs of a query and a key that it sees, in one head of one sequence. */
export function visiblePairs({ queries, keys, offset, window = offset + queries, pairs }: Visible): number {
  // Σ min(most, offset + i + 1) over the queries i
  const seen = (most: number) => {
    const ramp = Math.max(0, Math.min(queries, most - offset)); // queries that see fewer
    return (ramp * (2 * offset + ramp + 1)) / 2 + (queries - ramp) * most;
  };
  return pairs ?? seen(keys) - seen(offset + queries) + seen(window);
}

type Visible = Pick<Geometry, 'queries' | 'keys' | 'offset' | 'window' | 'pairs'>;

/** Keys that some query sees: those before the first one's window cost nothing. */
export const keysRead = ({ keys, offset, window = offset + 1 }: Geometry): number =>
  keys - Math.max(0, offset + 1 - window);

/**
 * What `segments` and `pairs` take for segments of these lengths, one after the other (HF `cu_seqlens`): a query sees the
 * keys of its own segment.
 */
export function segmentsOf(lengths: readonly number[]): { segments: Uint32Array<ArrayBuffer>; pairs: number } {
  const segments = new Uint32Array(2 * lengths.reduce((a, b) => a + b, 0));
  let start = 0;
  for (const length of lengths) {
    for (let i = start; i < start + length; i++) segments.set([start, start + length], 2 * i);
    start += length;
  }
  return { segments, pairs: lengths.reduce((sum, length) => sum + length ** 2, 0) };
}

/** Multiply-adds of the visible pairs alone, each of q, k, v and z once through memory; exponentials are not counted. */
export function attentionCost(g: Geometry, { dtype }: Tensor): Cost {
  const { batch, queries, heads, kvHeads, headSize } = g;
  return {
    flops: 4 * batch * heads * headSize * visiblePairs(g),
    bytes: 2 * batch * headSize * (4 * queries * heads + bytesPerElement[dtype] * keysRead(g) * kvHeads),
  };
}

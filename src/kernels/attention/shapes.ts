import { ShapeError } from '../errors.ts';
import { expectDType, expectShape, type Tensor } from '../tensor.ts';
import { type VectorWidth, vectorWidth } from '../vectors.ts';

/** What attention and its materialising variant have in common. */
export interface QueryKeyArgs {
  /** [batch * T, H, D] f32 */
  q: Tensor;
  /** [batch * S, KV, D] f32, S >= keys; query head h reads key/value head floor(h / (H / KV)). */
  k: Tensor;
  /** Rows of each sequence's k and v that count; default all S. A key/value cache is longer than what is filled of it. */
  keys?: number;
  /** Independent sequences of equal length; default 1. */
  batch?: number;
  /** Query i of a sequence stands at position offset + i and sees the keys up to there; else it sees all. */
  causal: boolean;
  /** Default keys - T: the queries are the last positions. */
  offset?: number;
  /** Multiplies q·k; D ** -0.5 in all models so far. */
  scale: number;
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
}

/** Checks the arguments and names their sizes. @throws ShapeError naming the tensor, the shapes and the rule. */
export function geometry(where: string, { q, k, causal, label, ...args }: QueryKeyArgs): Geometry {
  const { batch = 1 } = args;
  expectDType(where, q, 'f32');
  expectDType(where, k, 'f32');
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
  return { batch, queries, heads, kvHeads, headSize, keys, keyRows, offset, width: vectorWidth(headSize) };
}

/** Pairs of a query and a key that it sees, in one head of one sequence. */
export function visiblePairs({ queries, keys, offset }: Pick<Geometry, 'queries' | 'keys' | 'offset'>): number {
  const ramp = Math.max(0, Math.min(queries, keys - offset)); // queries that do not see every key
  return (ramp * (2 * offset + ramp + 1)) / 2 + (queries - ramp) * keys;
}

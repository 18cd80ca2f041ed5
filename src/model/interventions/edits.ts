import { least } from '../../base/extremes.ts';
import type { Recorder } from '../../gpu/recorder.ts';
import { elementCount, reshape, type Tensor } from '../../gpu/tensor.ts';
import { edit, keptRow } from '../../kernels/edit/edit.ts';
import { InputError } from '../errors.ts';
import { type HookPoint, selectHooks } from './hook-points.ts';
import type { PosSlice } from './positions.ts';

/** Positions of an edit: one, a half-open range, or a list. Negative numbers count from the end of the prompt. */
export type EditPositions = PosSlice | { readonly at: readonly number[] };

/**
 * A change to activations, declared before the run and applied on the GPU where the activation comes into being: what follows
 * is computed from what it leaves. Edits of one hook point apply in the order of the list; names read what all of them leave.
 */
export interface Edit {
  /** A hook point's name, or a glob. */
  readonly at: string;
  /** Of activations that have heads; all by default. */
  readonly heads?: readonly number[];
  /**
   * All by default, generated ones included; a range without an end reaches into them too. Of towers and the projector:
   * rows, all crops', pictures' or texts' after one another; of their attention, queries.
   */
  readonly positions?: EditPositions;
  /**
   * Of `hook_attn_scores` and `hook_pattern`: the keys; all by default. Of towers: columns of the matrices, which are the
   * rows of the query's own crop or text.
   */
  readonly keys?: EditPositions;
  /** The value times this … */
  readonly scale?: number;
  /** … plus this: a number, a vector for every position, or one for each of the positions, [positions, (heads,) width]. */
  readonly add?: number | Float32Array;
  /** Or replaced by this, of the same forms. */
  readonly set?: number | Float32Array;
}

/** An edit restricted to one sequence of a batch. */
export interface PlannedEdit extends Edit {
  readonly sequence?: number;
}

/** Where the rows of an activation stand. */
export interface RowPlaces {
  readonly sequence: (row: number) => number;
  readonly position: (row: number) => number;
  /** Of the prompt's positions, or of a tower's rows. */
  readonly extent: Extent;
}

/** What positions of an edit may be. */
export interface Extent {
  /** Negative positions count from here; of a prompt, in generated steps too. */
  readonly length: number;
  readonly of: 'prompt' | 'tower';
  /** Positions may lie behind it: generation goes on there. */
  readonly grows: boolean;
}

/** Edits by hook point: the one place where they are checked. */
export class EditPlan {
  readonly #byName = new Map<string, PlannedEdit[]>();

  /** @throws InputError for names that are none, and for edits that say nothing or too much. */
  constructor(points: readonly HookPoint[], edits: readonly PlannedEdit[]) {
    for (const each of edits) {
      checkEdit(each);
      for (const { name } of selectHooks(points, each.at)) {
        const others = this.#byName.get(name);
        if (others) others.push(each);
        else this.#byName.set(name, [each]);
      }
    }
  }

  has(name: string): boolean {
    return this.#byName.has(name);
  }

  /** @param tensor [rows, …] */
  apply(rec: Recorder, name: string, tensor: Tensor, places: RowPlaces): Tensor {
    let x = tensor;
    for (const each of this.#byName.get(name) ?? []) x = applyRows(rec, each, name, x, places);
    return x;
  }

  /** @param tensor [sequences * heads, queries, keys] @param places of the queries. */
  applySquare(rec: Recorder, name: string, tensor: Tensor, sequences: number, places: RowPlaces): Tensor {
    let x = tensor;
    for (const each of this.#byName.get(name) ?? []) x = applyMatrix(rec, each, name, x, sequences, places);
    return x;
  }
}

const fields = ['at', 'heads', 'positions', 'keys', 'scale', 'add', 'set', 'sequence'];

/** JavaScript and files come as they are: what is misspelt must not look like an edit of everything, or of nothing. */
function checkEdit(edit: PlannedEdit): void {
  const { at, heads, positions, keys, scale, add, set } = edit ?? {};
  if (typeof at !== 'string') throw new InputError('an edit needs at: the name of a hook point, or a glob');
  const fail = (problem: string) => new InputError(`edit of ${at}: ${problem}`);
  const unknown = Object.keys(edit).find((key) => !fields.includes(key));
  if (unknown !== undefined)
    throw fail(`it has no field ${JSON.stringify(unknown)}; there are ${fields.slice(0, -1).join(', ')}`);
  if (heads !== undefined && !Array.isArray(heads)) throw fail('heads are a list of numbers');
  for (const [name, given] of Object.entries({ positions, keys }))
    if (!arePositions(given)) throw fail(`${name} are a number, [start], [start, end] or { at: [numbers] }`);
  if ((set === undefined) === (scale === undefined && add === undefined))
    throw fail('give either set, or scale or add or both');
  for (const [name, given] of Object.entries({ scale, add, set })) {
    if (given === undefined) continue;
    const numbers = given instanceof Float32Array && name !== 'scale' ? given : [given as number];
    const wrong = numbers.find((x) => !Number.isFinite(x) || !Number.isFinite(Math.fround(x)));
    if (wrong !== undefined)
      throw fail(
        `${name} ${wrong} is not a finite number of 32 bits${name === 'scale' ? '' : '; give one, or a Float32Array'}`,
      );
  }
}

function arePositions(given: EditPositions | undefined): boolean {
  if (given === undefined || typeof given === 'number') return true;
  return Array.isArray(given)
    ? given.length === 1 || given.length === 2
    : Array.isArray((given as { at?: unknown })?.at);
}

function applyRows(
  rec: Recorder,
  each: PlannedEdit,
  name: string,
  x: Tensor,
  { sequence, position, extent }: RowPlaces,
): Tensor {
  if (each.keys) throw new InputError(`edit of ${name}: keys are of hook_attn_scores and hook_pattern alone`);
  const [count, ...rest] = x.shape;
  const heads = rest.length > 1 ? rest[0] : 1;
  if (each.heads && rest.length === 1)
    throw new InputError(`edit of ${name}: it has no heads, its rows are of ${rest[0]} numbers`);
  const chosen = chosenHeads(each, name, heads);
  const values = each.set ?? each.add;
  const unit = elementCount(rest) / heads;
  const given = typeof values === 'object' ? expand(values, name, chosen, heads, unit) : undefined;
  const index = ordinals(name, each.positions, extent, given?.rows ?? 1);
  const rows = Uint32Array.from({ length: count }, (_, row) => {
    if (each.sequence !== undefined && each.sequence !== sequence(row)) return keptRow;
    const ordinal = index(position(row));
    return ordinal === undefined ? keptRow : given?.rows === 1 ? 0 : ordinal;
  });
  if (rows.every((row) => row === keptRow)) return x;
  return edit(rec, {
    x,
    rows: rec.input(`${name} edited rows`, 'u32', [count], rows),
    columns: rec.input(
      `${name} edited heads`,
      'u32',
      [heads],
      Uint32Array.from({ length: heads }, (_, h) => Number(chosen.includes(h))),
    ),
    scale: each.set === undefined ? (each.scale ?? 1) : undefined,
    values: given && rec.input(`${name} values`, 'f32', [given.rows, ...rest], given.data),
    constant: typeof values === 'number' ? values : undefined,
    label: `${name} edited`,
  });
}

function applyMatrix(
  rec: Recorder,
  each: PlannedEdit,
  name: string,
  x: Tensor,
  sequences: number,
  { sequence, position, extent }: RowPlaces,
): Tensor {
  const [matrices, queries, keys] = x.shape;
  const heads = matrices / sequences;
  if (typeof (each.set ?? each.add) === 'object')
    throw new InputError(`edit of ${name}: give a number; a matrix of queries and keys takes no vectors`);
  const chosen = new Set(chosenHeads(each, name, heads));
  const query = ordinals(name, each.positions, extent, 1);
  const key = ordinals(name, each.keys, extent.of === 'tower' ? { ...extent, length: keys } : extent, 1, 'keys');
  const rows = Uint32Array.from({ length: matrices * queries }, (_, row) => {
    const matrix = Math.floor(row / queries);
    const place = Math.floor(matrix / heads) * queries + (row % queries); // among all sequences' queries
    const ours = each.sequence === undefined || each.sequence === sequence(place);
    return ours && chosen.has(matrix % heads) && query(position(place)) !== undefined ? 0 : keptRow;
  });
  const columns = Uint32Array.from({ length: keys }, (_, k) => (key(k) === undefined ? 0 : 1));
  if (rows.every((row) => row === keptRow) || !columns.includes(1)) return x;
  const edited = edit(rec, {
    x: reshape(x, [matrices * queries, keys]),
    rows: rec.input(`${name} edited queries`, 'u32', [rows.length], rows),
    columns: rec.input(`${name} edited keys`, 'u32', [keys], columns),
    scale: each.set === undefined ? (each.scale ?? 1) : undefined,
    constant: (each.set ?? each.add) as number | undefined,
    label: `${name} edited`,
  });
  return reshape(edited, x.shape);
}

/** The heads that are edited, in the order in which vectors for them come. */
function chosenHeads({ heads: wanted }: Edit, name: string, heads: number): readonly number[] {
  const wrong = wanted?.find((h) => !(Number.isInteger(h) && h >= 0 && h < heads));
  if (wrong !== undefined) throw new InputError(`edit of ${name}: head ${wrong}, there are 0 to ${heads - 1}`);
  return wanted ?? Array.from({ length: heads }, (_, h) => h);
}

/** Vectors for the chosen heads, put where they belong among all heads. */
function expand(values: Float32Array, name: string, chosen: readonly number[], heads: number, unit: number) {
  const count = chosen.length;
  if (new Set(chosen).size < count) throw new InputError(`edit of ${name}: vectors for heads of which one comes twice`);
  const rows = values.length / (count * unit);
  if (!(Number.isInteger(rows) && rows >= 1))
    throw new InputError(
      `edit of ${name}: ${values.length} numbers are no rows of ${count === 1 ? unit : `${count} x ${unit}`}`,
    );
  const data = new Float32Array(rows * heads * unit);
  let from = 0;
  for (let row = 0; row < rows; row++)
    for (const h of chosen) {
      data.set(values.subarray(from, from + unit), (row * heads + h) * unit);
      from += unit;
    }
  return { rows, data };
}

/** The first position of a prompt of `length` tokens that an edit can touch. */
export function firstPosition({ positions }: Edit, length: number): number {
  const absolute = (n: number) => Math.max(0, n < 0 ? n + length : n);
  if (positions === undefined) return 0;
  if (isList(positions)) return least(positions.at.map(absolute), length);
  return absolute(typeof positions === 'number' ? positions : positions[0]);
}

/** An array has an `at` too, which is a function. */
const isList = (positions: EditPositions | undefined): positions is { readonly at: readonly number[] } =>
  typeof positions === 'object' && !Array.isArray(positions);

/**
 * Which of an edit's positions a position is, or undefined.
 * @param rows vectors that come with the edit: with several, the positions must be as many.
 * @param inTower what positions of a tower count, for errors.
 * @throws InputError for positions that the prompt or the tower does not have, or are not as many as the vectors.
 */
function ordinals(
  name: string,
  positions: EditPositions | undefined,
  { length, of, grows }: Extent,
  rows: number,
  inTower = 'rows',
): (position: number) => number | undefined {
  const end = grows ? Number.POSITIVE_INFINITY : length;
  const unit = of === 'tower' ? inTower : 'positions of this input';
  const absolute = (n: number, last = end - 1): number => {
    const at = n < 0 ? n + length : n;
    if (!(Number.isInteger(n) && at >= 0 && at <= last))
      throw new InputError(`edit of ${name}: position ${n} does not lie within the ${length} ${unit}`);
    return at;
  };
  const expectCount = (count: number) => {
    if (rows > 1 && rows !== count)
      throw new InputError(`edit of ${name}: ${rows} vectors for ${count} positions; give one, or one for each`);
  };
  if (isList(positions)) {
    const at = new Map(positions.at.map((n, i) => [absolute(n), i]));
    expectCount(positions.at.length);
    if (rows > 1 && at.size < rows)
      throw new InputError(`edit of ${name}: vectors for positions of which one comes twice`);
    return (position) => at.get(position);
  }
  if (typeof positions === 'number') {
    const at = absolute(positions);
    expectCount(1);
    return (position) => (position === at ? 0 : undefined);
  }
  const start = absolute(positions?.[0] ?? 0);
  const given = positions?.[1];
  // Vectors of their own are for positions of the prompt; one for all goes on through what is generated.
  const stop = given !== undefined ? absolute(given, end) : rows > 1 ? length : end;
  if (!(stop > start)) throw new InputError(`edit of ${name}: positions ${start} to ${stop} are none`);
  expectCount(stop - start);
  return (position) => (position >= start && position < stop ? position - start : undefined);
}

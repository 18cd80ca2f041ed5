import { gatherRows } from '../kernels/elementwise/elementwise.ts';
import { normScale } from '../kernels/norm/norm.ts';
import type { Readback, Recorder } from '../kernels/recorder.ts';
import { elementCount, reshape, rows, type Tensor } from '../kernels/tensor.ts';
import { InputError } from './errors.ts';

/** Positions [start, end) of each sequence that hooks of the language model return. */
export interface PositionRange {
  readonly start: number;
  readonly end: number;
}

/** A position, or a half-open range; negative numbers count from the end. */
export type PosSlice = number | readonly [start: number, end?: number];

/** @throws InputError when it leaves the sequence: nothing is clamped. */
export function resolvePosSlice(slice: PosSlice | undefined, length: number): PositionRange {
  if (slice === undefined) return { start: 0, end: length };
  const [from, to] = typeof slice === 'number' ? [slice, slice + 1 || length] : [slice[0], slice[1] ?? length];
  const start = from < 0 ? from + length : from;
  const end = to < 0 ? to + length : to;
  if (!(Number.isInteger(start) && Number.isInteger(end) && start >= 0 && start < end && end <= length))
    throw new InputError(`posSlice ${JSON.stringify(slice)} does not lie within the ${length} positions of this input`);
  return { start, end };
}

/** A norm's kind, for `hook_scale`. */
export type NormKind = 'layer' | 'rms';

/** Where the activations of a block go: the language model's to some positions, a tower's as a whole. */
export interface Site {
  /** Whether one of these names was asked for. */
  wants(...names: string[]): boolean;
  /** Rows of all positions, [rows, …], or of the wanted ones alone when `narrowed`. */
  emit(name: string, tensor: Tensor, narrowed?: boolean): void;
  /** A matrix of queries and keys for each head of each sequence, [batch * heads, wanted rows, keys]. */
  emitSquare(name: string, tensor: Tensor): void;
  /** The pair of hooks of a norm: `${name}.hook_normalized` and `.hook_scale`. */
  emitNorm(name: string, kind: NormKind, eps: number, x: Tensor, normalized: Tensor): void;
  /** The wanted rows. */
  narrow(tensor: Tensor): Tensor;
  /** Where in its sequence the first wanted row stands. */
  readonly firstRow: number;
}

/**
 * Collects what a run was asked for. The model offers every activation under its name; only those asked for cost anything.
 *
 * It is the site of the language model, whose tensors hold `batch` sequences of `length` rows each; tensors that a narrowed
 * last layer computed for the wanted positions alone say so.
 */
export class Hooks implements Site {
  readonly results = new Map<string, { readback: Readback; shape: readonly number[] }>();
  readonly range: PositionRange;
  readonly batch: number;
  readonly #length: number;
  readonly #rec: Recorder;
  readonly #wanted: ReadonlySet<string>;
  #rowIndex: Tensor | undefined;

  constructor(rec: Recorder, wanted: ReadonlySet<string>, length: number, range: PositionRange, batch = 1) {
    this.#rec = rec;
    this.#wanted = wanted;
    this.#length = length;
    this.range = range;
    this.batch = batch;
  }

  wants(...names: string[]): boolean {
    return names.some((name) => this.#wanted.has(name));
  }

  /** Blocks of the tower that must run for the hooks, whether or not the features need them. */
  get visionLayers(): number {
    const layers = [...this.#wanted].map((name) => Number(/^vision\.blocks\.(\d+)\./.exec(name)?.[1] ?? -1));
    return Math.max(0, ...layers.map((l) => l + 1));
  }

  get firstRow(): number {
    return this.range.start;
  }

  emit(name: string, tensor: Tensor, narrowed = false): void {
    if (this.wants(name)) this.read(name, narrowed ? tensor : this.narrow(tensor));
  }

  emitSquare(name: string, tensor: Tensor): void {
    if (this.wants(name)) this.read(name, tensor);
  }

  emitNorm(name: string, kind: NormKind, eps: number, x: Tensor, normalized: Tensor): void {
    emitNorm(this, this.#rec, name, kind, eps, x, normalized);
  }

  /** This site for tensors that hold the wanted rows alone. */
  get narrowed(): Site {
    return new WholeSite(this, this.#rec, undefined);
  }

  /** The site of a tower: `leading` are its tensors' first dimensions in place of their rows, such as [crops, patches]. */
  whole(leading: readonly number[]): Site {
    return new WholeSite(this, this.#rec, leading);
  }

  /** The wanted rows of a language-model tensor: a view for one sequence, a gather for several. */
  narrow(tensor: Tensor): Tensor {
    const { start, end } = this.range;
    if (end - start === this.#length) return tensor;
    if (this.batch === 1) return rows(tensor, start, end);
    if (!this.#rowIndex) {
      const index = new Uint32Array(this.batch * (end - start));
      for (let b = 0, i = 0; b < this.batch; b++) for (let p = start; p < end; p++) index[i++] = b * this.#length + p;
      this.#rowIndex = this.#rec.input('wanted rows', 'u32', [index.length], index);
    }
    const [count, ...rest] = tensor.shape;
    const flat = reshape(tensor, [count, elementCount(rest)]);
    const gathered = gatherRows(this.#rec, { x: flat, rows: this.#rowIndex, label: `${tensor.label} wanted rows` });
    return reshape(gathered, [this.batch * (end - start), ...rest], tensor.label);
  }

  /** Brings a tensor home under a name, in its own shape. */
  read(name: string, tensor: Tensor): void {
    this.results.set(name, { readback: this.#rec.read(tensor), shape: tensor.shape });
  }
}

/** Tensors whose every row is wanted, under the shape that their rows have. */
class WholeSite implements Site {
  readonly firstRow = 0;
  readonly #hooks: Hooks;
  readonly #rec: Recorder;
  readonly #leading: readonly number[] | undefined;

  constructor(hooks: Hooks, rec: Recorder, leading: readonly number[] | undefined) {
    this.#hooks = hooks;
    this.#rec = rec;
    this.#leading = leading;
  }

  wants(...names: string[]): boolean {
    return this.#hooks.wants(...names);
  }

  emit(name: string, tensor: Tensor): void {
    if (!this.wants(name)) return;
    const [rows, ...rest] = tensor.shape;
    this.#hooks.read(name, reshape(tensor, [...(this.#leading ?? [rows]), ...rest]));
  }

  emitSquare(name: string, tensor: Tensor): void {
    if (!this.wants(name)) return;
    const [matrices, queries, keys] = tensor.shape;
    const sequences = (this.#leading ?? []).slice(0, -1);
    const shape = [...sequences, matrices / elementCount(sequences), queries, keys];
    this.#hooks.read(name, reshape(tensor, shape));
  }

  emitNorm(name: string, kind: NormKind, eps: number, x: Tensor, normalized: Tensor): void {
    emitNorm(this, this.#rec, name, kind, eps, x, normalized);
  }

  narrow(tensor: Tensor): Tensor {
    return tensor;
  }
}

function emitNorm(
  site: Site,
  rec: Recorder,
  name: string,
  kind: NormKind,
  eps: number,
  x: Tensor,
  normalized: Tensor,
): void {
  site.emit(`${name}.hook_normalized`, normalized);
  const scale = `${name}.hook_scale`;
  if (site.wants(scale)) site.emit(scale, normScale(rec, { x, eps, kind, label: scale }));
}

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

/**
 * Collects what a run was asked for. The model offers every activation under its name; only those asked for cost anything.
 *
 * Language-model tensors hold `batch` sequences of `length` rows each; tensors that a narrowed last layer computed for the
 * wanted positions alone say so.
 */
export class Hooks {
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

  /** A language-model activation [batch * length, …], or [batch * wanted, …] when `narrowed`. */
  emit(name: string, tensor: Tensor, narrowed = false): void {
    if (this.wants(name)) this.#read(name, narrowed ? tensor : this.narrow(tensor));
  }

  /** An activation whose shape is no matter of positions: of the tower, the projector, or an attention matrix. */
  emitWhole(name: string, tensor: Tensor, shape: readonly number[] = tensor.shape): void {
    if (this.wants(name)) this.#read(name, reshape(tensor, shape));
  }

  /** The pair of hooks of a norm: `${name}.hook_normalized` and `.hook_scale`. */
  emitNorm(
    name: string,
    kind: 'layer' | 'rms',
    eps: number,
    x: Tensor,
    normalized: Tensor,
    shape?: readonly number[],
  ): void {
    const emit = (hook: string, t: Tensor, width: number) =>
      shape ? this.emitWhole(hook, t, [...shape, width]) : this.emit(hook, t);
    emit(`${name}.hook_normalized`, normalized, normalized.shape.at(-1)!);
    const scale = `${name}.hook_scale`;
    if (this.wants(scale)) emit(scale, normScale(this.#rec, { x, eps, kind, label: scale }), 1);
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

  #read(name: string, tensor: Tensor): void {
    this.results.set(name, { readback: this.#rec.read(tensor), shape: tensor.shape });
  }
}

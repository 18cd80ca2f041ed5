import { greatest } from '../../base/extremes.ts';
import type { Readback } from '../../gpu/readback.ts';
import type { Recorder } from '../../gpu/recorder.ts';
import { elementCount, reshape, rows, type Tensor } from '../../gpu/tensor.ts';
import { gatherRows } from '../../kernels/elementwise/elementwise.ts';
import type { EditPlan, Extent, RowPlaces } from './edits.ts';
import type { PositionRange } from './positions.ts';

/**
 * A block calls this at each hook point and goes on with the tensor that it returns, which may be edited. The language
 * model's activations are read at some positions, a tower's as a whole.
 */
export interface Site {
  /** Whether one of these names was asked for. */
  wants(...names: string[]): boolean;
  /** Whether one of these is changed by an edit. */
  edits(...names: string[]): boolean;
  /** Either: then the activation must exist by itself, where it otherwise may not. */
  touches(...names: string[]): boolean;
  /** Rows of all positions, [rows, …], or of the wanted ones alone when `narrowed`: edits them and reads what that leaves. */
  pass(name: string, tensor: Tensor, narrowed?: boolean): Tensor;
  /** The same for matrices of queries and keys, [sequences * heads, queries, keys], of all queries or the wanted ones. */
  passSquare(name: string, tensor: Tensor, narrowed?: boolean): Tensor;
  /** The wanted rows. */
  narrow(tensor: Tensor): Tensor;
  /** Where in the tensor of a sequence's rows the first wanted one is. */
  readonly firstRow: number;
}

/** What a run is asked for. */
export interface HookRequest {
  readonly names: ReadonlySet<string>;
  /** Rows of each sequence. */
  readonly length: number;
  /** Those that are returned. */
  readonly range: PositionRange;
  /** Sequences of equal length; 1 by default. */
  readonly batch?: number;
  /** The position of each sequence's first row: behind what the cache holds. */
  readonly start?: number;
  readonly edits: EditPlan;
  /** Tokens of the prompt, where `length` rows are not it. */
  readonly promptLength?: number;
  /** The run is part of a generation, whose edits may be of what follows the prompt. */
  readonly generates?: boolean;
  /** Leave results in GPU tensors instead of reading them back. */
  readonly keep?: (name: string, shape: readonly number[]) => Tensor;
}

export type Result = { readonly shape: readonly number[] } & (
  | { readonly readback: Readback }
  | { readonly tensor: Tensor }
);

/**
 * Hooks for one run: schedules read-backs, applies edits. What nobody asked for costs nothing.
 *
 * It is the site of the language model, whose tensors hold `batch` sequences of `length` rows each; tensors that a narrowed
 * last layer computed for the wanted positions alone say so.
 */
export class Hooks implements Site {
  readonly results = new Map<string, Result>();
  readonly range: PositionRange;
  readonly batch: number;
  readonly #request: HookRequest;
  readonly #rec: Recorder;
  readonly #start: number;
  #rowIndex: Tensor | undefined;

  constructor(rec: Recorder, request: HookRequest) {
    this.#rec = rec;
    this.#request = request;
    this.range = request.range;
    this.batch = request.batch ?? 1;
    this.#start = request.start ?? 0;
  }

  wants(...names: string[]): boolean {
    return names.some((name) => this.#request.names.has(name));
  }

  edits(...names: string[]): boolean {
    return names.some((name) => this.#request.edits.has(name));
  }

  touches(...names: string[]): boolean {
    return this.wants(...names) || this.edits(...names);
  }

  /** Blocks of the tower that must run for the hooks, whether or not the features need them. */
  get visionLayers(): number {
    const layers = [...this.#request.names].map((name) => Number(/^vision\.blocks\.(\d+)\./.exec(name)?.[1] ?? -1));
    return greatest(
      layers.map((l) => l + 1),
      0,
    );
  }

  get firstRow(): number {
    return this.range.start;
  }

  /** Of the prompt. */
  get extent(): Extent {
    const { length, promptLength = length, generates = false } = this.#request;
    return { length: promptLength, of: 'prompt', grows: generates };
  }

  pass(name: string, tensor: Tensor, narrowed = false): Tensor {
    const edited = this.edit(name, tensor, this.#places(narrowed));
    if (this.wants(name)) this.read(name, narrowed ? edited : this.narrow(edited));
    return edited;
  }

  passSquare(name: string, tensor: Tensor, narrowed = false): Tensor {
    const edited = this.editSquare(name, tensor, this.batch, this.#places(narrowed));
    if (this.wants(name)) this.read(name, narrowed ? edited : this.#narrowSquare(edited));
    return edited;
  }

  /** This site for tensors that hold the wanted rows alone. */
  get narrowed(): Site {
    return new WholeSite(this, { places: this.#places(true) });
  }

  /** A site for each sequence's last row, which is edited as all others but read by nobody: what generation goes on from. */
  get last(): Site {
    const { length } = this.#request;
    const { extent } = this;
    const places = { sequence: (row: number) => row, position: () => this.#start + length - 1, extent };
    return new WholeSite(this, { places, silent: true });
  }

  /** The site of a tower: `leading` are its tensors' first dimensions in place of their rows, such as [crops, patches]. */
  whole(leading: readonly number[]): Site {
    const extent = { length: elementCount(leading), of: 'tower', grows: false } as const;
    const places = { sequence: () => 0, position: (row: number) => row, extent };
    return new WholeSite(this, { places, leading });
  }

  /** The wanted rows of a language-model tensor: a view for one sequence, a gather for several. */
  narrow(tensor: Tensor): Tensor {
    const { start, end } = this.range;
    if (end - start === this.#request.length) return tensor;
    if (this.batch === 1) return rows(tensor, start, end);
    this.#rowIndex ??= this.#indexOf(this.batch, 'wanted rows');
    const [count, ...rest] = tensor.shape;
    const flat = reshape(tensor, [count, elementCount(rest)]);
    const gathered = gatherRows(this.#rec, { x: flat, rows: this.#rowIndex, label: `${tensor.label} wanted rows` });
    return reshape(gathered, [this.batch * (end - start), ...rest], tensor.label);
  }

  /** @param tensor [matrices, queries of all positions, keys] */
  #narrowSquare(tensor: Tensor): Tensor {
    const { start, end } = this.range;
    const [matrices, queries, keys] = tensor.shape;
    if (end - start === queries) return tensor;
    const index = this.#indexOf(matrices, `${tensor.label} wanted queries`);
    const flat = reshape(tensor, [matrices * queries, keys]);
    const gathered = gatherRows(this.#rec, { x: flat, rows: index, label: `${tensor.label} wanted queries` });
    return reshape(gathered, [matrices, end - start, keys], tensor.label);
  }

  /** Row numbers of the range in each of `count` stretches of `length` rows. */
  #indexOf(count: number, label: string): Tensor {
    const { start, end } = this.range;
    const { length } = this.#request;
    const index = new Uint32Array(count * (end - start));
    for (let b = 0, i = 0; b < count; b++) for (let p = start; p < end; p++) index[i++] = b * length + p;
    return this.#rec.input(label, 'u32', [index.length], index);
  }

  #places(narrowed: boolean): RowPlaces {
    const { start, end } = this.range;
    const [perSequence, first] = narrowed ? [end - start, this.#start + start] : [this.#request.length, this.#start];
    return {
      sequence: (row) => Math.floor(row / perSequence),
      position: (row) => first + (row % perSequence),
      extent: this.extent,
    };
  }

  edit(name: string, tensor: Tensor, places: RowPlaces): Tensor {
    return this.#request.edits.apply(this.#rec, name, tensor, places);
  }

  editSquare(name: string, tensor: Tensor, sequences: number, places: RowPlaces): Tensor {
    return this.#request.edits.applySquare(this.#rec, name, tensor, sequences, places);
  }

  /** Keeps a tensor under a name, in its own shape: brings it home, or leaves a copy on the GPU. */
  read(name: string, tensor: Tensor): void {
    const { shape } = tensor;
    const { keep } = this.#request;
    if (!keep) {
      this.results.set(name, { readback: this.#rec.read(tensor), shape });
      return;
    }
    const copy = keep(name, shape);
    this.#rec.copy(tensor, copy);
    this.results.set(name, { tensor: copy, shape });
  }
}

interface WholeRows {
  readonly places: RowPlaces;
  /** In place of the rows, in results. */
  readonly leading?: readonly number[];
  /** Reads nothing. */
  readonly silent?: boolean;
}

/** Tensors whose every row is wanted. */
class WholeSite implements Site {
  readonly firstRow = 0;
  readonly #hooks: Hooks;
  readonly #rows: WholeRows;

  constructor(hooks: Hooks, rows: WholeRows) {
    this.#hooks = hooks;
    this.#rows = rows;
  }

  wants(...names: string[]): boolean {
    return !this.#rows.silent && this.#hooks.wants(...names);
  }

  edits(...names: string[]): boolean {
    return this.#hooks.edits(...names);
  }

  touches(...names: string[]): boolean {
    return this.wants(...names) || this.edits(...names);
  }

  pass(name: string, tensor: Tensor): Tensor {
    const { places, leading } = this.#rows;
    const edited = this.#hooks.edit(name, tensor, places);
    const [count, ...rest] = edited.shape;
    if (this.wants(name)) this.#hooks.read(name, reshape(edited, [...(leading ?? [count]), ...rest]));
    return edited;
  }

  passSquare(name: string, tensor: Tensor): Tensor {
    const { places, leading = [] } = this.#rows;
    const [matrices, queries, keys] = tensor.shape;
    const sequences = leading.slice(0, -1);
    const count = elementCount(sequences);
    const edited = this.#hooks.editSquare(name, tensor, count, places);
    if (this.wants(name)) this.#hooks.read(name, reshape(edited, [...sequences, matrices / count, queries, keys]));
    return edited;
  }

  narrow(tensor: Tensor): Tensor {
    return tensor;
  }
}

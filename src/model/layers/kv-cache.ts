import { f32 } from '../../gpu/formats/f32.ts';
import { type Format, formatBytes } from '../../gpu/formats/format.ts';
import type { Gpu } from '../../gpu/gpu.ts';
import type { Tensor } from '../../gpu/tensor.ts';
import type { TextConfig } from '../config/text.ts';

/**
 * Keys (after rotation) and values of the positions seen so far, preallocated for `capacity` positions of each of `batch`
 * sequences of equal length.
 */
export class KvCache {
  /** What it holds. ADR 15 says what another format takes. */
  static readonly format: Format = f32;
  /** Positions of each sequence that there is room for. */
  readonly capacity: number;
  readonly batch: number;
  /** Per layer [batch * capacity, nKvHeads, dHead] f32. */
  readonly keys: readonly Tensor[];
  /** As `keys`. */
  readonly values: readonly Tensor[];
  /** Positions filled, in every sequence. */
  length = 0;
  /** How many of them are the prompt's: what negative positions of edits count from. */
  promptLength = 0;
  /**
   * What to add to `length` for the rotary position of a sequence's next token, [axes][batch]: pictures take fewer positions
   * than tokens.
   */
  readonly shifts: readonly Int32Array[];
  readonly #gpu: Gpu;

  constructor(gpu: Gpu, config: TextConfig, capacity: number, batch = 1) {
    this.#gpu = gpu;
    this.capacity = capacity;
    this.batch = batch;
    this.shifts = [0, 1, 2].map(() => new Int32Array(batch));
    const shape = [batch * capacity, config.nKvHeads, config.dHead];
    const make = (what: string) =>
      Array.from({ length: config.nLayers }, (_, l) => gpu.tensor(`blocks.${l} ${what} cache`, 'f32', shape));
    this.keys = make('key');
    this.values = make('value');
  }

  /** Bytes on the GPU for a cache of this many positions of one sequence. */
  static price(config: TextConfig, capacity: number): number {
    return 2 * config.nLayers * formatBytes(KvCache.format, [capacity, config.nKvHeads * config.dHead]);
  }

  /** Frees its memory on the GPU. */
  destroy(): void {
    this.#gpu.destroy(...this.keys, ...this.values);
  }
}

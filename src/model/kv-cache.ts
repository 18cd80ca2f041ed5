import type { Gpu } from '../kernels/gpu.ts';
import type { Tensor } from '../kernels/tensor.ts';
import type { TextConfig } from './config.ts';

/** Keys (after rotation) and values of the positions seen so far, preallocated for `capacity` positions. */
export class KvCache {
  readonly capacity: number;
  /** Per layer [capacity, nKvHeads, dHead] f32. */
  readonly keys: readonly Tensor[];
  readonly values: readonly Tensor[];
  /** Positions filled. */
  length = 0;
  readonly #gpu: Gpu;

  constructor(gpu: Gpu, config: TextConfig, capacity: number) {
    this.#gpu = gpu;
    this.capacity = capacity;
    const shape = [capacity, config.nKvHeads, config.dHead];
    const make = (what: string) =>
      Array.from({ length: config.nLayers }, (_, l) => gpu.tensor(`blocks.${l} ${what} cache`, 'f32', shape));
    this.keys = make('key');
    this.values = make('value');
  }

  /** Bytes on the GPU for a cache of this many positions. */
  static price(config: TextConfig, capacity: number): number {
    return 2 * 4 * config.nLayers * capacity * config.nKvHeads * config.dHead;
  }

  destroy(): void {
    this.#gpu.destroy(...this.keys, ...this.values);
  }
}

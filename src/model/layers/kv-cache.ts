import { f32 } from '../../gpu/formats/f32.ts';
import { type Format, formatBytes } from '../../gpu/formats/format.ts';
import { formats } from '../../gpu/formats/index.ts';
import type { Gpu } from '../../gpu/gpu.ts';
import type { Recorder } from '../../gpu/recorder.ts';
import { rows, type Tensor } from '../../gpu/tensor.ts';
import { copyRows } from '../../kernels/rotary/rotary.ts';
import type { TextConfig } from '../config/text.ts';
import { InputError } from '../errors.ts';

/** How many positions a cache grows by. */
const step = 256;

/** A format that keys and values can be kept in. */
export type CacheFormat = 'f16' | 'f32';
export const cacheFormats: readonly CacheFormat[] = ['f16', 'f32'];

/**
 * The format of a model's caches (ADR 15): f16, but where the weights are f32 or an f16 cache is not possible.
 * @param weights the format of the matrices that make keys.
 */
export const defaultCacheFormat = ({ dHead }: TextConfig, weights: Format): CacheFormat =>
  weights === f32 || noHalves(dHead) ? 'f32' : 'f16';

/** @throws InputError for a format that there is not, or that heads of this size do not fit. */
export function checkCacheFormat(format: string, { dHead }: TextConfig): void {
  if (!(cacheFormats as readonly string[]).includes(format))
    throw new InputError(`kvCache: no format ${format}; there are ${cacheFormats.join(', ')}`);
  if (format === 'f16' && noHalves(dHead))
    throw new InputError(`kvCache f16: heads of ${dHead} numbers are no multiple of 8; use f32`);
}

/** Kernels turn pairs of numbers half a head apart, and write four halves at once. */
const noHalves = (dHead: number): boolean => dHead % 8 !== 0;

export interface KvCacheOptions {
  /** Positions of each sequence that it may ever hold. */
  readonly capacity: number;
  /** Sequences. Default 1. */
  readonly batch?: number;
  /** Default f32: numbers as they are computed. */
  readonly format?: CacheFormat;
}

/**
 * Keys (after rotation) and values of the positions seen so far, of each of `batch` sequences of equal length. Memory for them is
 * taken in steps of 256 positions, as they come: a run that ends early has not taken memory for what it could have made.
 */
export class KvCache {
  readonly format: CacheFormat;
  /** Positions of each sequence that it may ever hold. */
  readonly capacity: number;
  readonly batch: number;
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
  readonly #config: TextConfig;
  readonly #keys: Tensor[] = [];
  readonly #values: Tensor[] = [];
  #allocated = 0;

  constructor(gpu: Gpu, config: TextConfig, { capacity, batch = 1, format = 'f32' }: KvCacheOptions) {
    this.format = format;
    this.#gpu = gpu;
    this.#config = config;
    this.capacity = capacity;
    this.batch = batch;
    this.shifts = [0, 1, 2].map(() => new Int32Array(batch));
  }

  /** Positions of each sequence that there is memory for. */
  get allocated(): number {
    return this.#allocated;
  }

  /** Per layer [batch * allocated, nKvHeads, dHead] in its format, until it grows. */
  get keys(): readonly Tensor[] {
    return this.#keys;
  }

  /** As `keys`. */
  get values(): readonly Tensor[] {
    return this.#values;
  }

  /**
   * Takes memory for so many positions, where there is none yet, and copies what is filled. One layer after the other, so that only
   * one of them is there twice.
   * @throws InputError for more than `capacity`.
   */
  reserve(positions: number): void {
    if (positions > this.capacity)
      throw new InputError(`${positions} positions do not fit the cache of ${this.capacity}`);
    if (positions <= this.#allocated) return;
    const allocated = Math.min(this.capacity, Math.ceil(positions / step) * step);
    for (let l = 0; l < this.#config.nLayers; l++) {
      const [keys, values] = [this.#keys[l], this.#values[l]];
      this.#keys[l] = this.#grown(keys, `blocks.${l} key cache`, allocated);
      this.#values[l] = this.#grown(values, `blocks.${l} value cache`, allocated);
      if (keys) this.#gpu.destroy(keys, values);
    }
    this.#allocated = allocated;
  }

  #grown(from: Tensor | undefined, label: string, allocated: number): Tensor {
    const { nKvHeads, dHead } = this.#config;
    const to = this.#gpu.tensor(label, this.format, [this.batch * allocated, nKvHeads, dHead]);
    const filled = (tensor: Tensor, sequence: number) => {
      const start = (sequence * tensor.shape[0]) / this.batch;
      return rows(tensor, start, start + this.length);
    };
    if (from && this.length)
      this.#gpu.copy(Array.from({ length: this.batch }, (_, b) => ({ from: filled(from, b), to: filled(to, b) })));
    return to;
  }

  /**
   * Records a copy into a cache that holds nothing yet: of as many sequences, in its own format.
   * This one is f32, and has memory for what it holds, no more.
   */
  copyTo(rec: Recorder, to: KvCache): void {
    to.reserve(this.length);
    for (const which of ['keys', 'values'] as const)
      for (const [l, x] of this[which].entries())
        copyRows(rec, { x, out: to[which][l], outRow: 0, batch: this.batch, label: `blocks.${l} ${which} kept` });
    to.length = this.length;
    to.promptLength = this.promptLength;
  }

  /** Bytes on the GPU for a cache of this many positions of one sequence. */
  static price(config: TextConfig, capacity: number, format: CacheFormat): number {
    return 2 * config.nLayers * formatBytes(formats[format], [capacity, config.nKvHeads * config.dHead]);
  }

  /** Frees its memory on the GPU. */
  destroy(): void {
    this.#gpu.destroy(...this.#keys, ...this.#values);
  }
}

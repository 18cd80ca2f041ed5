import type { Run } from '../../gpu/run.ts';
import type { Tensor } from '../../gpu/tensor.ts';
import type { KvCache } from '../layers/kv-cache.ts';
import type { Model, RunningStep } from '../model.ts';
import { ActivationCache } from '../run/activations.ts';

/**
 * The steps of a generation that differ in nothing but their position: ids that the GPU chooses, and nobody looks into them or changes
 * them. One is recorded; those after it run what was recorded, with the params and the rotary table of their own position.
 */
export class Steps {
  readonly #model: Model;
  readonly #tokens: Tensor;
  readonly #cache: KvCache;
  #run: Run | undefined;
  /** The position that it was recorded at, and the memory that the cache had. */
  #recorded = { length: 0, allocated: 0 };

  /** Whether steps of this model are such, where ids are chosen on the GPU and no activations are asked for. */
  static areEnough({ bound: { edits, replacement, profiler } }: Model): boolean {
    return edits.length === 0 && !replacement && !profiler;
  }

  /** @param tokens u32[batch]: the ids that a step reads, and where it leaves those that it chooses. */
  constructor(model: Model, tokens: Tensor, cache: KvCache) {
    this.#model = model;
    this.#tokens = tokens;
    this.#cache = cache;
  }

  /** One more token of each sequence. @returns as `Model.startStep`. */
  async start(): Promise<RunningStep> {
    const cache = this.#cache;
    cache.reserve(cache.length + 1);
    if (cache.allocated !== this.#recorded.allocated) this.release(); // what was recorded binds other buffers
    const started = (await this.#run?.start(cache.length - this.#recorded.length)) ?? (await this.#startRecorded());
    cache.length++;
    const result = started.finished.then(([ids]) => ({
      activations: new ActivationCache(),
      next: new Uint32Array(ids.buffer),
    }));
    result.catch(() => {}); // thrown where it is waited for
    return { result };
  }

  async #startRecorded() {
    this.release();
    const { length, allocated } = this.#cache;
    const options = { cache: this.#cache, next: this.#tokens, namesFilter: [] };
    this.#run = await this.#model.recordedStep(this.#tokens, options).prepare();
    this.#recorded = { length, allocated };
    return (await this.#run.start())!;
  }

  /** Gives the memory of its run back. */
  release(): void {
    this.#run?.release();
    this.#run = undefined;
  }
}

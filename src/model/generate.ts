import type { Tensor } from '../kernels/tensor.ts';
import { InputError } from './errors.ts';
import { KvCache } from './kv-cache.ts';
import type { ActivationCache, Llava, ModelInput, RunOptions } from './llava.ts';
import { Sampler, type SamplerOptions } from './sampling.ts';

export interface GenerateOptions extends Partial<SamplerOptions> {
  readonly maxNewTokens: number;
  /** Ids that end the text: all of the checkpoint's (`generation_config.json`, `config.json`). They are not yielded. */
  readonly endTokens: ReadonlySet<number>;
  readonly signal?: AbortSignal;
}

export interface PromptOptions extends Pick<RunOptions, 'namesFilter' | 'posSlice'> {
  /** Positions to keep room for after the prompt. */
  readonly room: number;
  /** Bring the logits of what comes next to the host, for sampling and for scoring. Greedy text needs them not. */
  readonly logits: boolean;
}

/**
 * Generates token ids one by one, greedily or by sampling.
 * @throws InputError when prompt and new tokens exceed the model's positions; the signal's reason when aborted.
 */
export async function* generate(model: Llava, input: ModelInput, options: GenerateOptions): AsyncGenerator<number> {
  options.signal?.throwIfAborted();
  const logits = (options.temperature ?? 0) > 0;
  const prompt = await PromptRun.start(model, input, { room: options.maxNewTokens - 1, logits });
  try {
    yield* prompt.generate(options);
  } finally {
    prompt.destroy();
  }
}

/** A prompt that the model has read: its keys and values are kept, so that it can be continued in several ways. */
export class PromptRun {
  /** What `namesFilter` asked for. */
  readonly activations: ActivationCache;
  readonly #model: Llava;
  readonly #cache: KvCache;
  readonly #token: Tensor;
  readonly #length: number;
  readonly #logits: Float32Array | undefined;
  readonly #next: number | undefined;

  private constructor(
    model: Llava,
    cache: KvCache,
    token: Tensor,
    first: { activations: ActivationCache; logits?: Float32Array; next?: number },
  ) {
    this.#model = model;
    this.#cache = cache;
    this.#token = token;
    this.#length = cache.length;
    this.activations = first.activations;
    this.#logits = first.logits;
    this.#next = first.next;
  }

  /** Runs the prompt, with a cache sized for it and `room` more positions. @throws InputError when that is too long. */
  static async start(model: Llava, input: ModelInput, options: PromptOptions): Promise<PromptRun> {
    const { maxPositions } = model.config.text;
    const capacity = input.inputIds.length + options.room;
    if (!(Number.isInteger(options.room) && options.room >= 0))
      throw new InputError(`room for ${options.room} positions: give a whole number (maxNewTokens is at least 1)`);
    if (capacity > maxPositions)
      throw new InputError(
        `${input.inputIds.length} prompt tokens and ${options.room} more exceed this model's ${maxPositions} positions`,
      );
    const cache = new KvCache(model.gpu, model.config.text, capacity);
    const token = model.gpu.tensor('token', 'u32', [1]);
    try {
      const { namesFilter, posSlice } = options;
      const next = options.logits ? undefined : token;
      return new PromptRun(model, cache, token, await model.step(input, { cache, next, namesFilter, posSlice }));
    } catch (e) {
      cache.destroy();
      model.gpu.destroy(token);
      throw e;
    }
  }

  /**
   * Continues the prompt token by token. Greedy steps choose on the GPU and read four bytes back (the first one chooses
   * on the host where the prompt's logits were asked for); sampled ones read the logits of one position.
   */
  async *generate({ maxNewTokens, endTokens, signal, ...sampling }: GenerateOptions): AsyncGenerator<number> {
    const { temperature = 0 } = sampling;
    const sampler = temperature > 0 ? new Sampler({ ...sampling, temperature }) : undefined;
    if (sampler && !this.#logits)
      throw new InputError('sampling needs the prompt’s logits: start it with logits: true');
    this.#cache.length = this.#length;
    let logits = this.#logits;
    let next = this.#next;
    for (let i = 1; ; i++) {
      signal?.throwIfAborted();
      const onHost = next === undefined;
      const id = next ?? (sampler ? sampler.draw(logits!) : largest(logits!));
      if (endTokens.has(id)) return;
      yield id;
      if (i === maxNewTokens) return;
      signal?.throwIfAborted();
      if (onHost) this.#model.gpu.write(this.#token, Uint32Array.of(id));
      ({ logits, next } = await this.#model.stepFrom(this.#token, {
        cache: this.#cache,
        next: sampler ? undefined : this.#token,
      }));
    }
  }

  /** Natural-log probability of each of `tokens`, as a continuation of the prompt. */
  async logProbabilities(tokens: ArrayLike<number>): Promise<number[]> {
    if (!this.#logits) throw new InputError('scoring needs the prompt’s logits: start it with logits: true');
    if (!tokens.length) throw new InputError('there are no tokens to score');
    const scores = [logProbability(this.#logits, tokens[0])];
    if (tokens.length === 1) return scores;
    this.#cache.length = this.#length;
    const inputIds = Array.from(tokens).slice(0, -1);
    const options = { cache: this.#cache, next: this.#token, namesFilter: 'logits' };
    const { activations } = await this.#model.step({ inputIds, pixelValues: [] }, options);
    const { data, shape } = activations.get('logits')!;
    for (let i = 1; i < tokens.length; i++)
      scores.push(logProbability(data.subarray((i - 1) * shape[1], i * shape[1]), tokens[i]));
    return scores;
  }

  destroy(): void {
    this.#cache.destroy();
    this.#model.gpu.destroy(this.#token);
  }
}

/** The first of the largest, as the GPU's argmax. */
function largest(values: Float32Array): number {
  let best = 0;
  for (let i = 1; i < values.length; i++) if (values[i] > values[best]) best = i;
  return best;
}

function logProbability(logits: Float32Array, id: number): number {
  const max = logits[largest(logits)];
  let sum = 0;
  for (const x of logits) sum += Math.exp(x - max);
  return logits[id] - max - Math.log(sum);
}

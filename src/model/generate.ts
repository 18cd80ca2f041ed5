import { InputError } from './errors.ts';
import { KvCache } from './kv-cache.ts';
import type { ActivationCache, Llava, ModelInput, RunOptions } from './llava.ts';
import { Sampler } from './sampling.ts';

export interface GenerateOptions extends Pick<RunOptions, 'namesFilter' | 'posSlice'> {
  readonly maxNewTokens: number;
  /** Ids that end the text: all of the checkpoint's (`generation_config.json`, `config.json`). They are not yielded. */
  readonly endTokens: ReadonlySet<number>;
  /** 0 (default) is greedy, chosen on the GPU; above, tokens are drawn from softmax(logits / temperature). */
  readonly temperature?: number;
  /** Draw from the likeliest tokens whose probabilities sum to at least this; 1 (default) is all. */
  readonly topP?: number;
  /** Seed of the draws: the same seed gives the same text. */
  readonly seed?: number;
  readonly signal?: AbortSignal;
  /** Receives the activations of the prompt that `namesFilter` asks for, before the first token. */
  readonly onActivations?: (cache: ActivationCache) => void;
}

/**
 * Generates token ids one by one, with a key/value cache sized beforehand.
 * Greedy steps read four bytes back; sampled ones the logits of one position.
 * @throws InputError when prompt and new tokens exceed the model's positions; AbortSignal's reason when aborted.
 */
export async function* generate(model: Llava, input: ModelInput, options: GenerateOptions): AsyncGenerator<number> {
  const { maxNewTokens, endTokens, signal, temperature = 0 } = options;
  if (!(Number.isInteger(maxNewTokens) && maxNewTokens >= 1))
    throw new InputError(`maxNewTokens ${maxNewTokens} is not a positive integer`);
  const { text } = model.config;
  const needed = input.inputIds.length + maxNewTokens - 1;
  if (needed > text.maxPositions)
    throw new InputError(
      `${input.inputIds.length} prompt tokens and ${maxNewTokens} new ones exceed this model's ${text.maxPositions} positions`,
    );
  signal?.throwIfAborted();
  const sampler = temperature > 0 ? new Sampler({ temperature, topP: options.topP, seed: options.seed }) : undefined;
  const cache = new KvCache(model.gpu, text, needed);
  const token = model.gpu.tensor('token', 'u32', [1]);
  try {
    const step = { cache, next: sampler ? undefined : token };
    let result = await model.step(input, { ...step, namesFilter: options.namesFilter, posSlice: options.posSlice });
    options.onActivations?.(result.activations);
    for (let i = 1; ; i++) {
      signal?.throwIfAborted();
      const id = sampler ? sampler.draw(result.logits!) : result.next!;
      if (endTokens.has(id)) return;
      yield id;
      if (i === maxNewTokens) return;
      signal?.throwIfAborted();
      if (sampler) model.gpu.write(token, Uint32Array.of(id));
      result = await model.stepFrom(token, step);
    }
  } finally {
    cache.destroy();
    model.gpu.destroy(token);
  }
}

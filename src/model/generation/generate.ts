import type { Tensor } from '../../gpu/tensor.ts';
import { notFiniteFlag } from '../../kernels/argmax/argmax.wgsl.ts';
import { InputError } from '../errors.ts';
import type { ModelInput } from '../input.ts';
import { resolvePosSlice } from '../interventions/positions.ts';
import { KvCache } from '../layers/kv-cache.ts';
import type { Model, RunningStep, StepResult } from '../model.ts';
import type { ActivationCache } from '../run/activations.ts';
import { throwIfAborted } from '../run/bound.ts';
import { indexOfNotFinite } from '../run/not-finite.ts';
import { Pass } from '../run/pass.ts';
import { recordSuffixes } from '../run/prefix.ts';
import type { RunOptions } from '../run/run.ts';
import type { SuffixBatch } from '../run/shared-prefix.ts';
import { type GenerationSettings, type SamplingOptions, withSampling } from './generation-settings.ts';
import { largest, logSumExp, Sampler } from './sampling.ts';
import { type ScoreProcessor, scoreProcessors } from './score-processors.ts';
import { Steps } from './steps.ts';

export interface ContinueOptions extends SamplingOptions {
  /** Tokens at most. */
  readonly maxNewTokens: number;
  /** Ids that end the text: all of the checkpoint's (`generation_config.json`, `config.json`). They are not yielded. */
  readonly endTokens: ReadonlySet<number>;
  /** What generation_config.json asks for beside; nothing by default. */
  readonly settings?: GenerationSettings;
  /** Of the draws: the same seed gives the same text. */
  readonly seed?: number;
  /** Hook points to return of each generated token's step. */
  readonly namesFilter?: RunOptions['namesFilter'];
  /** Receives them, and the position in the sequence that the step read. */
  readonly onActivations?: (activations: ActivationCache, position: number) => void;
}

/** How much text is generated, how its tokens are chosen, and what is returned of each step. */
export interface GenerateOptions extends ContinueOptions, Pick<RunOptions, 'posSlice'> {}

export interface PromptOptions extends Pick<RunOptions, 'namesFilter' | 'posSlice'> {
  /** Positions after the prompt at most. Memory is taken for them as they come. */
  readonly room: number;
  /**
   * Bring the logits of what comes next to the host, for sampling, for what generation_config.json makes of them
   * (`needsLogits`), and for scoring. Not needed for greedy decoding.
   */
  readonly logits: boolean;
}

/**
 * Whether choosing a token takes its logits to the host (some hundred kilobytes a step), or is done on the GPU: plain greedy
 * text is, with four bytes a step.
 */
function needsLogits(model: Model, input: Pick<ModelInput, 'inputIds'>, options: ContinueOptions): boolean {
  const settings = withSampling(options.settings ?? {}, options);
  return Boolean(settings.do_sample) || processorsOf(model, input.inputIds, settings, options).length > 0;
}

function processorsOf(
  model: Model,
  prompt: ArrayLike<number>,
  settings: GenerationSettings,
  { endTokens, maxNewTokens }: ContinueOptions,
): ScoreProcessor[] {
  const { vocabSize } = model.config.text;
  const run = { prompt: Array.from(prompt), maxLength: prompt.length + maxNewTokens, endTokens, vocabSize };
  return [...scoreProcessors(settings, run).values()];
}

/**
 * Generates token ids one by one, greedily or by sampling, as `settings` ask for. `onActivations` receives the prompt's activations first (as
 * `posSlice` cuts them, with the first position of those), then each step's. What the model is bound to holds for the prompt and for
 * every step after it, `maxResultBytes` for each by itself.
 * @throws InputError when prompt and new tokens exceed the model's positions, or activations `maxResultBytes`; the reason of a
 * signal that the model is bound to, when it is aborted.
 */
export async function* generate(model: Model, input: ModelInput, options: GenerateOptions): AsyncGenerator<number> {
  const logits = needsLogits(model, input, options);
  const { maxNewTokens, namesFilter, posSlice } = options;
  const prompt = await PromptRun.start(model, [input], { namesFilter, posSlice, room: maxNewTokens - 1, logits });
  try {
    if (namesFilter)
      options.onActivations?.(prompt.activations, resolvePosSlice(posSlice, input.inputIds.length).start);
    for await (const [id] of prompt.generate(options)) yield id!;
  } finally {
    prompt.destroy();
  }
}

/**
 * Prompts of equal length that the model has read together: their keys and values are kept, so that they can be continued
 * in several ways.
 */
export class PromptRun {
  /** What `namesFilter` asked for, of all prompts: the first axis holds `batch` times the positions. */
  readonly activations: ActivationCache;
  readonly batch: number;
  readonly #model: Model;
  readonly #cache: KvCache;
  readonly #tokens: Tensor;
  readonly #length: number;
  readonly #inputs: readonly ModelInput[];
  readonly #first: StepResult;

  private constructor(model: Model, inputs: readonly ModelInput[], cache: KvCache, tokens: Tensor, first: StepResult) {
    this.#model = model;
    this.#inputs = inputs;
    this.#cache = cache;
    this.#tokens = tokens;
    this.#length = cache.length;
    this.#first = first;
    this.batch = cache.batch;
    this.activations = first.activations;
  }

  /** Runs the prompts, with a cache that may grow to them and `room` more positions. @throws InputError when that is too long. */
  static async start(model: Model, inputs: readonly ModelInput[], options: PromptOptions): Promise<PromptRun> {
    const { room, namesFilter, posSlice } = options;
    const length = inputs[0]?.inputIds.length ?? 0;
    checkRoom(model, length, room);
    const cache = new KvCache(model.gpu, model.config.text, {
      format: model.cacheFormat,
      capacity: length + room,
      batch: Math.max(1, inputs.length),
    });
    const tokens = model.gpu.tensor('tokens', 'u32', [cache.batch]);
    try {
      const next = options.logits ? undefined : tokens;
      const first = await model.step(inputs, { cache, next, namesFilter, posSlice });
      return new PromptRun(model, inputs, cache, tokens, first);
    } catch (e) {
      cache.destroy();
      model.gpu.destroy(tokens);
      throw e;
    }
  }

  /**
   * The same of prompts whose beginning has run once for all of them (ADR 19), with their logits. They read it as it was computed; what
   * continues them reads keys and values in the model's format, as after `start`.
   */
  static async afterPrefix(
    model: Model,
    inputs: readonly ModelInput[],
    suffixes: SuffixBatch,
    { room, namesFilter = [] }: Pick<PromptOptions, 'room' | 'namesFilter'>,
  ): Promise<PromptRun> {
    const { batch, length } = suffixes;
    checkRoom(model, length, room);
    const { gpu, forward, cacheFormat: format } = model;
    const { text } = model.config;
    const extent = forward.extent(model.hookPoints, { namesFilter }, 0, true);
    const cache = new KvCache(gpu, text, { format, capacity: length + room, batch });
    const read = format === 'f32' ? cache : new KvCache(gpu, text, { capacity: length, batch });
    const tokens = gpu.tensor('tokens', 'u32', [batch]);
    try {
      const pass = new Pass(model, 'prompts after their prefix');
      const range = resolvePosSlice(-1, length);
      const logits = recordSuffixes(model, pass, read, { ...suffixes, ...extent, range, generates: true });
      const scores = pass.rec.read(logits!);
      if (read !== cache) read.copyTo(pass.rec, cache);
      forward.positions(inputs, cache); // which notes where what follows them stands
      const activations = await pass.submit();
      return new PromptRun(model, inputs, cache, tokens, { activations, logits: scores.f32 });
    } catch (e) {
      cache.destroy();
      gpu.destroy(tokens);
      throw e;
    } finally {
      if (read !== cache) read.destroy();
    }
  }

  /**
   * Continues the prompts token by token, in lock-step: an id for each prompt, undefined once its text has ended.
   *
   * Plain greedy steps choose on the GPU and read four bytes a prompt back (the first one chooses on the host where the
   * prompt's logits were asked for); sampled ones, and those whose `settings` change scores, read the logits of one position.
   * @throws InputError when that is so and the prompt was started without its logits; ConfigError for settings that do not fit.
   */
  async *generate(options: ContinueOptions): AsyncGenerator<(number | undefined)[]> {
    const { maxNewTokens, endTokens, namesFilter, onActivations } = options;
    const settings = withSampling(options.settings ?? {}, options);
    const texts = this.#inputs.map(({ inputIds }) => ({
      ids: Array.from(inputIds),
      processors: processorsOf(this.#model, inputIds, settings, options),
    }));
    const sampler = settings.do_sample ? new Sampler(options.seed) : undefined;
    const onHost = sampler !== undefined || texts.some(({ processors }) => processors.length > 0);
    if (onHost && !this.#first.logits)
      throw new InputError(
        'sampling, and settings that change scores, need the prompt’s logits: start it with logits: true',
      );
    this.#cache.length = this.#length;
    const ended = new Array<boolean>(this.batch).fill(false);
    const { gpu, bound } = this.#model;
    const next = onHost ? undefined : this.#tokens;
    const steps =
      next && !namesFilter && Steps.areEnough(this.#model) ? new Steps(this.#model, next, this.#cache) : undefined;
    const start = () =>
      steps?.start() ?? this.#model.startStep(this.#tokens, { cache: this.#cache, next, namesFilter });
    // Where nothing else waits for an id, the next step can be in the queue while the host reads what came before it: one step is
    // then run for nothing at the end of a text. A software adapter has no idle time that this would fill.
    const ahead = steps && !gpu.capabilities.software;
    if (this.#first.next) gpu.write(this.#tokens, this.#first.next as Uint32Array<ArrayBuffer>);
    let running: RunningStep = { result: Promise.resolve(this.#first) };
    try {
      for (let i = 1; ; i++) {
        throwIfAborted(bound);
        const following = ahead && (i > 1 || this.#first.next) && i < maxNewTokens ? await start() : undefined;
        const step = await running.result;
        if (namesFilter && i > 1) onActivations?.(step.activations, this.#cache.length - 1);
        const bad =
          step.next?.findIndex((id) => id >= notFiniteFlag) ?? this.#rows(step.logits!).findIndex(hasNoLargest);
        if (bad >= 0) throw await this.#notFinite(bad, texts[bad].ids);
        const ids =
          step.next ??
          Uint32Array.from(this.#rows(step.logits!), (row, b) => {
            const scores = onHost ? row.slice() : row; // the prompt's are used again
            for (const process of texts[b].processors) process(scores, texts[b].ids);
            return sampler && !ended[b] ? sampler.draw(scores) : largest(scores);
          });
        for (const [b, id] of ids.entries()) {
          ended[b] ||= endTokens.has(id);
          texts[b].ids.push(id);
        }
        if (ended.every(Boolean)) return;
        yield Array.from(ids, (id, b) => (ended[b] ? undefined : id));
        if (i === maxNewTokens) return;
        throwIfAborted(bound);
        if (!step.next) gpu.write(this.#tokens, ids as Uint32Array<ArrayBuffer>);
        running = following ?? (await start());
      }
    } finally {
      steps?.release();
    }
  }

  /** Natural-log probability of each of `tokens`, as a continuation of each prompt: [batch][tokens]. */
  async logProbabilities(tokens: ArrayLike<number>): Promise<number[][]> {
    const { logits } = this.#first;
    if (!logits) throw new InputError('scoring needs the prompt’s logits: start it with logits: true');
    if (!tokens.length) throw new InputError('there are no tokens to score');
    const bad = this.#rows(logits).findIndex((row) => indexOfNotFinite(row) >= 0);
    if (bad >= 0) throw await this.#notFinite(bad, this.#inputs[bad].inputIds);
    const scores = this.#rows(logits).map((row) => [logProbability(row, tokens[0])]);
    if (tokens.length === 1) return scores;
    this.#cache.length = this.#length;
    const inputs = scores.map(() => ({ inputIds: Array.from(tokens).slice(0, -1), visuals: [] }));
    const options = { cache: this.#cache, next: this.#tokens, namesFilter: 'logits' };
    const unlimited = this.#model.with({ maxResultBytes: Number.POSITIVE_INFINITY }); // nobody asked for these
    const { activations } = await unlimited.step(inputs, options);
    const rows = this.#rows(activations.get('logits')!.data); // [batch * (tokens - 1)][vocab]
    for (const [b, score] of scores.entries())
      for (let i = 1; i < tokens.length; i++)
        score.push(logProbability(rows[b * (tokens.length - 1) + i - 1], tokens[i]));
    return scores;
  }

  #notFinite(index: number, inputIds: ArrayLike<number>): Promise<Error> {
    const { visuals } = this.#inputs[index];
    // What finds the fault runs without a cache.
    const hidden =
      this.#cache.format === 'f16'
        ? "a key or a value is beyond the 65504 that a cache of f16 holds; keep it in f32 (kvCache: 'f32', --kv-cache f32)"
        : undefined;
    return this.#model.notFinite('the logits', { inputIds, visuals }, hidden);
  }

  #rows(logits: Float32Array): Float32Array[] {
    const width = this.#model.config.text.vocabSize;
    return Array.from({ length: logits.length / width }, (_, i) => logits.subarray(i * width, (i + 1) * width));
  }

  destroy(): void {
    this.#cache.destroy();
    this.#model.gpu.destroy(this.#tokens);
  }
}

/** @throws InputError where prompt and what follows it do not fit the model. */
function checkRoom(model: Model, length: number, room: number): void {
  const { maxPositions } = model.config.text;
  if (!(Number.isInteger(room) && room >= 0))
    throw new InputError(`room for ${room} positions: give a whole number (maxNewTokens is at least 1)`);
  if (length + room > maxPositions)
    throw new InputError(
      `${length} prompt tokens and ${room} more exceed this model's ${maxPositions} positions: shorten the prompt, or ask for fewer tokens`,
    );
}

/** Whether there is nothing to choose by: NaN among the logits, or an infinite one as the largest. */
const hasNoLargest = (logits: Float32Array): boolean => !Number.isFinite(logits[largest(logits)]);

const logProbability = (logits: Float32Array, id: number): number => logits[id] - logSumExp(logits);

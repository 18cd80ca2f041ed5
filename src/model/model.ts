import type { Dispatch } from '../gpu/dispatch.ts';
import type { Gpu } from '../gpu/gpu.ts';
import type { Readback, Recorder } from '../gpu/recorder.ts';
import type { Tensor } from '../gpu/tensor.ts';
import { argmax } from '../kernels/argmax/argmax.ts';
import { checkKernelsUsed } from '../kernels/custom/kernels.ts';
import { InputError, type NotFiniteError } from './errors.ts';
import type { Architecture } from './families/family.ts';
import { checkIsInput, type ModelInput } from './input.ts';
import type { Edit } from './interventions/edits.ts';
import { type HookPoint, isOfVisuals } from './interventions/hook-points.ts';
import { type HookRequest, Hooks } from './interventions/hooks.ts';
import { resolvePosSlice } from './interventions/positions.ts';
import type { KvCache } from './layers/kv-cache.ts';
import { Forward, type ModelWeights } from './run/forward.ts';
import { indexOfNotFinite, notFinite } from './run/not-finite.ts';
import {
  type ActivationCache,
  activations,
  asked,
  checkResultBytes,
  type GpuActivations,
  type RunChanges,
  type RunOptions,
  type RunPrice,
  resultLimit,
} from './run/run.ts';
import { eachVariation, variationBytes } from './run/variations.ts';

/** A step of generation: run the inputs, put their keys and values in the cache, choose or return what comes next. */
export interface StepOptions extends RunOptions {
  readonly cache: KvCache;
  /** Greedy: the next ids are chosen on the GPU and left in this u32[batch]; four bytes a sequence are read back. */
  readonly next?: Tensor;
}

export interface StepResult {
  readonly activations: ActivationCache;
  /** [batch, vocab] of the last position, without `next`. */
  readonly logits?: Float32Array;
  /** [batch], with `next`. */
  readonly next?: Uint32Array;
}

/**
 * A model of any family on the GPU: pictures and token ids in, activations and logits out.
 *
 *     pixels -> vision tower -> projector -> merged embeddings -> decoder blocks -> head outputs | logits
 */
export class Model {
  readonly gpu: Gpu;
  readonly config: Architecture;
  readonly weights: ModelWeights;
  readonly hookPoints: readonly HookPoint[];
  readonly #forward: Forward;

  constructor(gpu: Gpu, config: Architecture, weights: ModelWeights) {
    this.gpu = gpu;
    this.config = config;
    this.weights = weights;
    this.#forward = new Forward(config, weights, gpu.kernels);
    this.hookPoints = this.#forward.hookPoints;
  }

  /**
   * Runs one prompt and returns the activations asked for, all of them where no names are given (a picture's take hundreds of
   * megabytes); the run ends with the last layer that one of them needs.
   * @throws InputError for inputs that do not fit, unknown names and options, or results above `maxResultBytes`; KernelError for a kernel
   * of the options that does not compile or takes no place in the run.
   */
  async runWithCache(input: ModelInput, options: RunOptions = {}): Promise<ActivationCache> {
    const rec = this.gpu.record('forward', options);
    const { hooks } = this.#record(rec, [input], asked(options, this.hookPoints, 'runWithCache'));
    await rec.submit();
    return activations(hooks);
  }

  /** What `runWithCache` would run, without running it: each dispatch with its text, bindings, params and workgroups. */
  dispatches(input: ModelInput, options: RunOptions = {}): readonly Dispatch[] {
    return this.recorded([input], asked(options, this.hookPoints, 'dispatches')).recorded;
  }

  /**
   * `runWithCache` with what is asked for left on the GPU, in tensors that live until they are destroyed.
   * @throws as `runWithCache`
   */
  async runOnGpu(input: ModelInput, given: RunOptions = {}): Promise<GpuActivations> {
    const options = asked(given, this.hookPoints, 'runOnGpu');
    this.recorded([input], options); // refuses what is too large before any of it is there
    const rec = this.gpu.record('forward', options);
    const tensors = new Map<string, Tensor>();
    const destroy = () => this.gpu.destroy(...tensors.values());
    try {
      this.#record(rec, [input], options, undefined, (name, shape) => {
        const tensor = this.gpu.tensor(name, 'f32', shape);
        tensors.set(name, tensor);
        return tensor;
      });
      await rec.submit();
    } catch (e) {
      destroy();
      throw e;
    }
    return { tensors, destroy };
  }

  /**
   * One prompt under several lists of edits, in batches: the pictures are seen once, and so is the part of the prompt before
   * the first position that any of a batch's lists touches (keys and values of earlier positions cannot depend on it). A list
   * that changes the tower, the projector or `hook_embed` shares nothing and runs apart.
   * @param options.edits made in every variation, before its own; of any hook point, and at any position.
   * @yields for each list what `runWithCache` with these edits would return, up to rounding. What comes before the decoder is
   * the same array in all.
   * @throws InputError as `runWithCache` would; KernelError for a kernel of the options that took no place in any of the runs.
   */
  eachVariation(
    input: ModelInput,
    variations: readonly (readonly Edit[])[],
    given: RunOptions = {},
  ): AsyncGenerator<ActivationCache, void> {
    const options = asked(given, this.hookPoints, 'eachVariation');
    const alone = (own: readonly Edit[]) =>
      this.runWithCache(input, { ...options, edits: [...(options.edits ?? []), ...own] });
    return eachVariation(this.gpu, this.#forward, input, variations, options, alone);
  }

  /** All that `eachVariation` yields, at once. @throws InputError also where together it exceeds `maxResultBytes`. */
  async runVariations(
    input: ModelInput,
    variations: readonly (readonly Edit[])[],
    given: RunOptions = {},
  ): Promise<ActivationCache[]> {
    const options = asked(given, this.hookPoints, 'runVariations');
    const bytes = variations.length * variationBytes(this.#forward, input, options);
    if (bytes > resultLimit(options))
      throw new InputError(
        `the activations of ${variations.length} variations take ${bytes} bytes, more than ${resultLimit(options)}: take them one by one with eachVariation, ask for fewer names, give posSlice, or raise maxResultBytes`,
      );
    const found: ActivationCache[] = [];
    for await (const cache of this.eachVariation(input, variations, options)) found.push(cache);
    return found;
  }

  /** What `runWithCache` would cost, without running it. @throws InputError as it would. */
  price(input: ModelInput, options: RunOptions = {}): RunPrice {
    const rec = this.recorded([input], asked(options, this.hookPoints, 'price'));
    return {
      resultBytes: rec.resultBytes,
      arenaBytes: rec.price(),
      dispatches: rec.dispatches,
      flops: rec.work.flops,
    };
  }

  /**
   * Inputs of equal length in as few runs as this adapter can bind: an activation of the widest kind holds the rows of a whole
   * batch. One input is a run, whatever its size.
   */
  batches(inputs: readonly ModelInput[]): ModelInput[][] {
    const { text, vision } = this.config;
    const limit = this.gpu.capabilities.maxStorageBufferBindingSize / 4;
    const fits = (batch: readonly ModelInput[]) => {
      const tokens = batch.reduce((sum, { inputIds }) => sum + inputIds.length, 0);
      const visuals = batch.flatMap((input) => input.visuals);
      const rows = visuals.reduce((sum, visual) => sum + (vision?.rows(visual) ?? 0), 0);
      const widest = Math.max(text.dMlp, text.dModel, text.nHeads * text.dHead);
      return tokens * widest <= limit && rows * (vision?.widest ?? 0) <= limit;
    };
    const batches: ModelInput[][] = [];
    for (const input of inputs) {
      const last = batches.at(-1);
      if (last && fits([...last, input])) last.push(input);
      else batches.push([input]);
    }
    return batches;
  }

  /**
   * The head outputs at the last position, for several prompts of equal length in one run: what SAVs read.
   * @param maxLayer the last layer to run; all by default.
   * @returns per input [layers, nHeads, dHead]
   * @throws NotFiniteError naming the first activation that is NaN or infinite, where a vector is.
   */
  async headVectors(
    inputs: readonly ModelInput[],
    { maxLayer = this.config.text.nLayers - 1, ...changes }: { maxLayer?: number } & RunChanges = {},
  ): Promise<Float32Array[]> {
    const { nLayers } = this.config.text;
    if (!(Number.isInteger(maxLayer) && maxLayer >= 0 && maxLayer < nLayers))
      throw new InputError(`maxLayer ${maxLayer}: this model has layers 0 to ${nLayers - 1}`);
    const rec = this.gpu.record('head vectors', changes);
    const namesFilter = Array.from({ length: maxLayer + 1 }, (_, l) => `blocks.${l}.attn.hook_z`);
    const { hooks } = this.#record(rec, inputs, { ...changes, namesFilter, posSlice: -1 });
    await rec.submit();
    const vectors = splitHeadVectors(activations(hooks), inputs.length);
    for (const [b, values] of vectors.entries())
      if (indexOfNotFinite(values) >= 0) throw await this.notFinite('the head vectors', inputs[b], changes);
    return vectors;
  }

  /**
   * The error for a result of an input that is not finite: it names the first activation that is not, found by running the
   * input again, a layer's activations at a time.
   */
  notFinite(result: string, input: ModelInput, changes: RunChanges = {}): Promise<NotFiniteError> {
    const { edits, kernels } = changes;
    const own = this.hookPoints.filter((point) => input.visuals.length > 0 || !isOfVisuals(point));
    return notFinite(result, own, (namesFilter) =>
      this.runWithCache(input, { namesFilter, edits, kernels, maxResultBytes: Number.POSITIVE_INFINITY }),
    );
  }

  /**
   * Prompts of equal length, or the tokens after them, with the positions before them in `cache`.
   * The logits of each one's last position come back only without `next`.
   */
  async step(inputs: readonly ModelInput[], options: StepOptions): Promise<StepResult> {
    const rec = this.gpu.record('step', options);
    const { hooks, logits } = this.#record(rec, inputs, options, options.cache);
    return this.#finishStep(rec, hooks, logits!, inputs[0].inputIds.length, options);
  }

  /** One more token of each sequence, u32[batch], taken from the GPU where the step before left it. */
  async stepFrom(tokens: Tensor, options: StepOptions): Promise<StepResult> {
    const rec = this.gpu.record('decode', options);
    const { hooks, logits } = this.#recordFrom(rec, tokens, options);
    return this.#finishStep(rec, hooks, logits, 1, options);
  }

  /** What `stepFrom` would run, as `recorded` is of a prompt. */
  recordedStep(tokens: Tensor, options: StepOptions): Recorder {
    const rec = this.gpu.record('dry run', options);
    readNext(rec, this.#recordFrom(rec, tokens, options).logits, options.next);
    return rec;
  }

  #recordFrom(rec: Recorder, tokens: Tensor, options: StepOptions): { hooks: Hooks; logits: Tensor } {
    const { cache, namesFilter = [], kernels } = options;
    const names = new Set(
      this.#forward
        .select(namesFilter, kernels)
        .filter((p) => !isOfVisuals(p))
        .map((p) => p.name),
    );
    const hooks = new Hooks(rec, {
      names,
      length: 1,
      range: { start: 0, end: 1 },
      batch: cache.batch,
      start: cache.length,
      edits: this.#forward.plan(options, cache.promptLength, true),
    });
    const extent = { layers: this.config.text.nLayers, stopAtHeads: false };
    let x = hooks.pass('hook_embed', this.#forward.embed(rec, tokens));
    x = hooks.pass('hook_merged_embed', x);
    const logits = this.#forward.decode(rec, hooks, x, this.#forward.following(1, cache), cache, extent);
    checkResultBytes(rec, options);
    return { hooks, logits: logits! };
  }

  /**
   * A run as it would be recorded, never to be submitted: what it costs (`price`, `largest`, `work`) and whether its shapes
   * fit, also of a model whose weights are not there (dry-run.ts).
   */
  recorded(inputs: readonly ModelInput[], options: RunOptions = {}, cache?: KvCache): Recorder {
    const rec = this.gpu.record('dry run', options);
    this.#record(rec, inputs, options, cache);
    return rec;
  }

  async #finishStep(
    rec: Recorder,
    hooks: Hooks,
    logits: Tensor,
    length: number,
    { cache, next, kernels }: StepOptions,
  ): Promise<StepResult> {
    const read = readNext(rec, logits, next);
    if (!cache.length) checkKernelsUsed(kernels, rec.recorded); // pictures have no part in the steps after the prompt
    await rec.submit();
    cache.length += length;
    return { activations: activations(hooks), ...(next ? { next: read.u32 } : { logits: read.f32 }) };
  }

  #record(
    rec: Recorder,
    inputs: readonly ModelInput[],
    options: RunOptions,
    cache?: KvCache,
    keep?: HookRequest['keep'],
  ): { hooks: Hooks; logits?: Tensor } {
    for (const input of inputs) checkIsInput(input);
    const length = inputs[0]?.inputIds.length ?? 0;
    for (const input of inputs) this.#forward.check(input, length, cache);
    if (cache && cache.batch !== inputs.length)
      throw new InputError(`${inputs.length} inputs for a cache of ${cache.batch} sequences`);
    const batch = inputs.length;
    const pictures = inputs.reduce((sum, { visuals }) => sum + visuals.length, 0);
    const { wanted, layers, stopAtHeads } = this.#forward.extent(options, pictures, cache !== undefined);
    const names = new Set(wanted.map((p) => p.name));
    const range = resolvePosSlice(options.posSlice, length);
    const start = cache?.length ?? 0;
    if (cache && !start) cache.promptLength = length;
    const edits = this.#forward.plan(options, cache?.promptLength ?? length, cache !== undefined);
    if (!start) this.#forward.checkEdits(options, pictures); // what follows a prompt may go on from its pictures
    const hooks = new Hooks(rec, { names, length, range, batch, start, edits, keep });

    const x = hooks.pass('hook_merged_embed', this.#forward.merged(rec, hooks, inputs));
    const positions = cache?.length ? this.#forward.following(length, cache) : this.#forward.positions(inputs, cache);
    const logits = this.#forward.decode(rec, hooks, x, positions, cache, { layers, stopAtHeads });
    checkResultBytes(rec, options);
    if (!cache) checkKernelsUsed(options.kernels, rec.recorded);
    return { hooks, logits };
  }
}

/** Asks for the ids that the GPU chooses and leaves in `next`, or without it for the logits. */
function readNext(rec: Recorder, logits: Tensor, next: Tensor | undefined): Readback {
  if (!next) return rec.read(logits);
  const chosen = argmax(rec, { x: logits, label: 'next token' });
  rec.copy(chosen, next);
  return rec.read(chosen);
}

/** `hook_z` of every layer at one position of `batch` prompts, as a [layers, nHeads, dHead] array for each prompt. */
export function splitHeadVectors(layers: ActivationCache, batch: number): Float32Array[] {
  return Array.from({ length: batch }, (_, b) => {
    const parts = [...layers.values()].map(({ data }) =>
      data.subarray((b * data.length) / batch, ((b + 1) * data.length) / batch),
    );
    const vectors = new Float32Array(parts.reduce((total, part) => total + part.length, 0));
    let at = 0;
    for (const part of parts) {
      vectors.set(part, at);
      at += part.length;
    }
    return vectors;
  });
}

import type { Dispatch } from '../gpu/dispatch.ts';
import type { Gpu } from '../gpu/gpu.ts';
import type { Readback } from '../gpu/readback.ts';
import type { Recorder } from '../gpu/recorder.ts';
import type { Tensor } from '../gpu/tensor.ts';
import { argmax } from '../kernels/argmax/argmax.ts';
import { checkKernelsUsed } from '../kernels/custom/kernels.ts';
import { InputError, type NotFiniteError } from './errors.ts';
import type { Architecture } from './families/family.ts';
import { checkIsInput, type ModelInput } from './input.ts';
import type { Edit } from './interventions/edits.ts';
import { type HookPoint, hookKind, isOfVisuals, selectHooks } from './interventions/hook-points.ts';
import { resolvePosSlice } from './interventions/positions.ts';
import { type CacheFormat, defaultCacheFormat, type KvCache } from './layers/kv-cache.ts';
import { Activation, ActivationCache } from './run/activations.ts';
import { type Bound, type BoundOptions, bind, unbound } from './run/bound.ts';
import { Forward, type ModelWeights } from './run/forward.ts';
import { indexOfNotFinite, notFinite } from './run/not-finite.ts';
import { Pass } from './run/pass.ts';
import { asked, type GpuActivations, type RunOptions, type RunPrice, splitHeadVectors } from './run/run.ts';

/** A step of generation: run the inputs, put their keys and values in the cache, choose or return what comes next. */
export interface StepOptions extends RunOptions {
  /** Holds the positions so far; the step adds its own. */
  readonly cache: KvCache;
  /** Greedy: the next ids are chosen on the GPU and left in this u32[batch]; four bytes a sequence are read back. */
  readonly next?: Tensor;
}

/** What a step of generation gives. */
export interface StepResult {
  readonly activations: ActivationCache;
  /** [batch, vocab] of the last position, without `next`. */
  readonly logits?: Float32Array;
  /** [batch], with `next`. */
  readonly next?: Uint32Array;
}

/** A step that the GPU's queue has. */
export interface RunningStep {
  /** When it has run. */
  readonly result: Promise<StepResult>;
}

/** What a model is made of. */
export interface ModelParts {
  readonly gpu: Gpu;
  readonly config: Architecture;
  readonly weights: ModelWeights;
  /** Of keys and values while it generates. Default: f16, or f32 where the weights are f32. */
  readonly cacheFormat?: CacheFormat;
  /** Made of config and weights, where it has been made. */
  readonly forward?: Forward;
}

/**
 * A model of any family on the GPU: pictures and token ids in, activations and logits out.
 *
 *     pixels -> vision tower -> projector -> merged embeddings -> decoder blocks -> head outputs | logits
 */
export class Model {
  /** Where it runs. */
  readonly gpu: Gpu;
  /** What config.json describes. */
  readonly config: Architecture;
  /** The weights, on the GPU. */
  readonly weights: ModelWeights;
  /** The format that keys and values are kept in while it generates. */
  readonly cacheFormat: CacheFormat;
  /** The stages of its runs, as they are recorded. */
  readonly forward: Forward;
  /** What its runs are bound to (`with`). */
  readonly bound: Bound;
  protected readonly parts: ModelParts;

  /** @param bound where it is not the model as it is: what `with` makes. */
  constructor(parts: ModelParts, bound?: Bound) {
    this.gpu = parts.gpu;
    this.config = parts.config;
    this.weights = parts.weights;
    this.cacheFormat =
      parts.cacheFormat ?? defaultCacheFormat(parts.config.text, parts.weights.decoder.blocks[0].k.weight.format);
    this.forward = parts.forward ?? new Forward(parts.config, parts.weights);
    this.parts = { ...parts, forward: this.forward };
    this.bound = bound ?? unbound(this.forward.hookPoints);
  }

  /**
   * This model bound to edits, custom kernels, a limit of results or a signal: all runs, analyses and generations of the model
   * that it returns have them. Nothing is copied, and this model stays as it is.
   *
   *     const cut = model.with({ edits: [{ at: 'blocks.3.attn.hook_z', heads: [5], set: 0 }] });
   *
   * @throws InputError for edits that say nothing or too much or name no hook point; KernelError for operations and fields of
   *   kernels that there are not.
   */
  with(options: BoundOptions): this {
    // Of the same class, which takes the same parts.
    const Own = this.constructor as new (parts: ModelParts, bound: Bound) => this;
    return new Own(this.parts, bind(this.forward.hookPoints, this.bound, options));
  }

  /** Every hook point, in the order in which a run reaches them; those that custom kernels add are among them. */
  get hookPoints(): readonly HookPoint[] {
    return this.bound.hookPoints;
  }

  /**
   * A recorder for dispatches of the caller's own, with the custom kernels that the model is bound to.
   * @throws the reason of a signal that is aborted.
   */
  record(label: string): Recorder {
    return new Pass(this, label).rec;
  }

  /**
   * Runs a prompt and returns the activations asked for, all of them where no names are given (a picture's take hundreds of
   * megabytes); the run ends with the last layer that one of them needs.
   * @param input or several of as many tokens, in one run: the language model's activations then have an axis more, the first,
   *   for the prompts; a tower's and the projector's hold the pictures of all prompts, one after the other.
   * @throws InputError for inputs that do not fit, unknown names and options, or results above `maxResultBytes`; KernelError for a
   *   custom kernel that does not compile or takes no place in the run.
   */
  async runWithCache(input: ModelInput | readonly ModelInput[], given: RunOptions = {}): Promise<ActivationCache> {
    const options = asked(given, this.hookPoints, 'runWithCache');
    const pass = new Pass(this, 'forward');
    const several = isList(input);
    const inputs = several ? input : [input];
    this.#record(pass, inputs, options);
    const found = await pass.submit();
    if (several) return withBatchAxis(found, inputs.length);
    found.positions = resolvePosSlice(options.posSlice, input.inputIds.length);
    return found;
  }

  /** What `runWithCache` would run, without running it: each dispatch with its WGSL, bindings, params and workgroups. */
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
    const tensors = new Map<string, Tensor>();
    const destroy = () => this.gpu.destroy(...tensors.values());
    const keep = (name: string, shape: readonly number[]) => {
      const tensor = this.gpu.tensor(name, 'f32', shape);
      tensors.set(name, tensor);
      return tensor;
    };
    try {
      const pass = new Pass(this, 'forward', { keep });
      this.#record(pass, [input], options);
      await pass.submit();
    } catch (e) {
      destroy();
      throw e;
    }
    return { tensors, destroy };
  }

  /**
   * Keeps on the GPU what the tower makes of an input's pictures: runs of this very input, by this model and by what `with` makes of it, then do not
   * run the tower. Their results have the same bits. A run that reads or changes something of the tower, or has custom kernels, runs it nevertheless, and so does one
   * of several inputs.
   * @returns frees what is kept, [tokens, dModel] in f32.
   */
  async keepPictures(input: ModelInput): Promise<() => void> {
    checkIsInput(input);
    const { length } = input.inputIds;
    const { kept } = this.forward;
    this.forward.check(input, length, undefined);
    const pass = new Pass(new Model(this.parts), 'pictures'); // as the model is without what it is bound to
    const hooks = pass.hooks({ names: new Set(), length, range: { start: 0, end: length } });
    const x = this.forward.merged(pass.rec, hooks, [input]);
    const merged = this.gpu.tensor('merged', 'f32', x.shape);
    const free = () => {
      if (kept.get(input) === merged) kept.delete(input);
      this.gpu.destroy(merged);
    };
    try {
      pass.rec.copy(x, merged);
      await pass.submit();
    } catch (e) {
      free();
      throw e;
    }
    kept.set(input, merged);
    return free;
  }

  /**
   * One prompt under several lists of edits, in batches: the pictures are seen once, and so is the part of the prompt before
   * the first position that any of a batch's lists touches (keys and values of earlier positions cannot depend on it). A list
   * that changes the tower, the projector or `hook_embed` shares nothing and runs apart. Edits that the model is bound to are made
   * in every variation, before its own.
   * @yields for each list what `runWithCache` with these edits would return, up to rounding. What comes before the decoder is
   * the same array in all.
   * @throws InputError as `runWithCache` would; KernelError for a custom kernel that took no place in any of the runs.
   */
  eachVariation(
    input: ModelInput,
    variations: readonly (readonly Edit[])[],
    given: RunOptions = {},
  ): AsyncGenerator<ActivationCache, void> {
    const options = asked(given, this.hookPoints, 'eachVariation');
    const alone = (edits: readonly Edit[]) => this.with({ edits }).runWithCache(input, options);
    return eachLater(async () => {
      const { eachVariation } = await import('./run/variations.ts');
      return eachVariation(this, input, variations, options, alone);
    });
  }

  /** All that `eachVariation` yields, at once. @throws InputError also where together it exceeds `maxResultBytes`. */
  async runVariations(
    input: ModelInput,
    variations: readonly (readonly Edit[])[],
    given: RunOptions = {},
  ): Promise<ActivationCache[]> {
    const options = asked(given, this.hookPoints, 'runVariations');
    const { variationBytes } = await import('./run/variations.ts');
    const bytes = variations.length * variationBytes(this, input, options);
    if (bytes > this.bound.maxResultBytes)
      throw new InputError(
        `the activations of ${variations.length} variations take ${bytes} bytes, more than ${this.bound.maxResultBytes}: take them one by one with eachVariation, ask for fewer names, give posSlice, or raise maxResultBytes`,
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
   * @param maxLayer the last layer to run.
   * @returns per input [maxLayer + 1, nHeads, dHead]
   * @throws NotFiniteError naming the first activation that is NaN or infinite, where a vector is.
   */
  async headVectorsAtEnd(
    inputs: readonly ModelInput[],
    maxLayer = this.config.text.nLayers - 1,
  ): Promise<Float32Array[]> {
    const pass = new Pass(this, 'head vectors');
    this.#record(pass, inputs, { namesFilter: this.#headNames(maxLayer), posSlice: -1 });
    return this.#finite(splitHeadVectors(await pass.submit(), inputs.length), inputs);
  }

  /**
   * The same for prompts of any lengths that begin alike: tokens and pictures that all of them begin with run once (ADR 19). Equal to
   * `headVectorsAtEnd` up to rounding.
   * @throws NotFiniteError as `headVectorsAtEnd`; InputError for a model that is bound to edits or custom kernels.
   */
  async headVectorsAfterPrefix(
    inputs: readonly ModelInput[],
    maxLayer = this.config.text.nLayers - 1,
  ): Promise<Float32Array[]> {
    const { runSharingPrefix } = await import('./run/shared-prefix.ts');
    const found = await runSharingPrefix(this, inputs, this.#headNames(maxLayer));
    return this.#finite(
      found.flatMap((activations) => splitHeadVectors(activations, 1)),
      inputs,
    );
  }

  #headNames(maxLayer: number): string[] {
    const { nLayers } = this.config.text;
    if (!(Number.isInteger(maxLayer) && maxLayer >= 0 && maxLayer < nLayers))
      throw new InputError(`maxLayer ${maxLayer}: this model has layers 0 to ${nLayers - 1}`);
    return Array.from({ length: maxLayer + 1 }, (_, l) => `blocks.${l}.attn.hook_z`);
  }

  async #finite(vectors: Float32Array[], inputs: readonly ModelInput[]): Promise<Float32Array[]> {
    for (const [b, values] of vectors.entries())
      if (indexOfNotFinite(values) >= 0) throw await this.notFinite('the head vectors', inputs[b]);
    return vectors;
  }

  /**
   * The error for a result of an input that is not finite: it names the first activation that is not, found by running the
   * input again, a layer's activations at a time.
   * @param hidden what to say where every activation is finite.
   */
  notFinite(result: string, input: ModelInput, hidden?: string): Promise<NotFiniteError> {
    const own = this.forward.hookPoints.filter((point) => input.visuals.length > 0 || !isOfVisuals(point));
    const unlimited = this.with({ maxResultBytes: Number.POSITIVE_INFINITY });
    return notFinite(result, own, (namesFilter) => unlimited.runWithCache(input, { namesFilter }), hidden);
  }

  /**
   * Prompts of equal length, or the tokens after them, with the positions before them in `cache`.
   * The logits of each one's last position come back only without `next`.
   */
  async step(inputs: readonly ModelInput[], options: StepOptions): Promise<StepResult> {
    const pass = new Pass(this, 'step');
    const logits = this.#record(pass, inputs, options, options.cache);
    return (await this.#startStep(pass, logits!, inputs[0].inputIds.length, options)).result;
  }

  /**
   * One more token of each sequence, u32[batch], taken from the GPU where the step before left it.
   * @returns when the GPU's queue has the step: the one after it may be started before its result is there.
   */
  async startStep(tokens: Tensor, options: StepOptions): Promise<RunningStep> {
    const pass = new Pass(this, 'decode');
    return this.#startStep(pass, this.#recordFrom(pass, tokens, options), 1, options);
  }

  /** What `startStep` would run, as `recorded` is of a prompt. */
  recordedStep(tokens: Tensor, options: StepOptions): Recorder {
    const pass = new Pass(this, 'decode');
    readNext(pass.rec, this.#recordFrom(pass, tokens, options), options.next);
    return pass.rec;
  }

  #recordFrom(pass: Pass, tokens: Tensor, options: StepOptions): Tensor {
    const { cache, namesFilter = [] } = options;
    const { rec } = pass;
    cache.reserve(cache.length + 1);
    const wanted = selectHooks(this.hookPoints, namesFilter).filter((point) => !isOfVisuals(point));
    const hooks = pass.hooks({
      names: new Set(wanted.map(({ name }) => name)),
      length: 1,
      range: { start: 0, end: 1 },
      batch: cache.batch,
      start: cache.length,
      promptLength: cache.promptLength,
      generates: true,
    });
    const logits = this.forward.decode(rec, hooks, {
      embeddings: hooks.pass('hook_embed', this.forward.embed(rec, tokens)),
      positions: this.forward.following(1, cache),
      cache,
      layers: this.config.text.nLayers,
      stopAtHeads: false,
      generates: true,
      moves: true,
    });
    pass.checkResultBytes();
    return logits!;
  }

  /**
   * A run as it would be recorded, never to be submitted: what it costs (`price`, `largest`, `work`) and whether its shapes
   * fit, also of a model whose weights are not there (plan/dry-run.ts).
   */
  recorded(inputs: readonly ModelInput[], options: RunOptions = {}, cache?: KvCache): Recorder {
    const pass = new Pass(this, 'dry run');
    this.#record(pass, inputs, options, cache);
    return pass.rec;
  }

  async #startStep(
    pass: Pass,
    logits: Tensor,
    length: number,
    { cache, next }: Pick<StepOptions, 'cache' | 'next'>,
  ): Promise<RunningStep> {
    const read = readNext(pass.rec, logits, next);
    if (!cache.length) checkKernelsUsed(this.bound.kernels, pass.rec.recorded); // later steps see no pictures
    const { found } = await pass.start();
    cache.length += length;
    const result = found.then((activations) => ({
      activations,
      ...(next ? { next: read.u32 } : { logits: read.f32 }),
    }));
    result.catch(() => {}); // thrown where it is waited for
    return { result };
  }

  /** @returns the logits of each sequence's last position, where a generation goes on in `cache`. */
  #record(pass: Pass, inputs: readonly ModelInput[], options: RunOptions, cache?: KvCache): Tensor | undefined {
    const { forward } = this;
    if (!inputs.length) throw new InputError('a run of no prompts: give at least one');
    for (const input of inputs) checkIsInput(input);
    const { length } = inputs[0].inputIds;
    for (const input of inputs) forward.check(input, length, cache);
    if (cache && cache.batch !== inputs.length)
      throw new InputError(`${inputs.length} inputs for a cache of ${cache.batch} sequences`);
    const pictures = inputs.reduce((sum, { visuals }) => sum + visuals.length, 0);
    const generates = cache !== undefined;
    const extent = forward.extent(this.hookPoints, options, pictures, generates);
    const start = cache?.length ?? 0;
    cache?.reserve(start + length);
    if (cache && !start) cache.promptLength = length;
    if (!start) forward.checkEdits(this.bound.edits, pictures); // what follows a prompt may go on from its pictures
    const hooks = pass.hooks({
      names: new Set(extent.wanted.map((p) => p.name)),
      length,
      range: resolvePosSlice(options.posSlice, length),
      batch: inputs.length,
      start,
      promptLength: cache?.promptLength,
      generates,
    });
    const embeddings = forward.merged(pass.rec, hooks, inputs);
    const positions = start ? forward.following(length, cache!) : forward.positions(inputs, cache);
    const logits = forward.decode(pass.rec, hooks, { embeddings, positions, cache, generates, ...extent });
    pass.checkResultBytes();
    if (!cache) {
      const whole = extent.whole ? undefined : () => this.#wholeRun(inputs, extent.wanted);
      checkKernelsUsed(this.bound.kernels, pass.rec.recorded, whole);
    }
    return logits;
  }

  /** What a run would be that goes through all layers, with the same hook points of each. */
  #wholeRun(inputs: readonly ModelInput[], wanted: readonly HookPoint[]): readonly Dispatch[] {
    const kinds = new Set(['logits', ...wanted.map(({ name }) => hookKind(name))]);
    const unlimited = this.with({ maxResultBytes: Number.POSITIVE_INFINITY });
    return unlimited.recorded(inputs, { namesFilter: (name) => kinds.has(hookKind(name)) }).recorded;
  }
}

/** `Array.isArray` knows no lists that cannot be written to. */
const isList = (input: ModelInput | readonly ModelInput[]): input is readonly ModelInput[] => Array.isArray(input);

/** The language model's activations hold the prompts one after the other: [batch * pos, …] becomes [batch, pos, …]. */
function withBatchAxis(found: ActivationCache, batch: number): ActivationCache {
  const axis = ([name, { data, shape }]: [string, Activation]) =>
    [
      name,
      isOfVisuals({ name })
        ? new Activation(data, shape)
        : new Activation(data, [batch, shape[0] / batch, ...shape.slice(1)]),
    ] as const;
  return new ActivationCache(Array.from(found, axis));
}

/** Asks for the ids that the GPU chooses and leaves in `next`, or without it for the logits. */
function readNext(rec: Recorder, logits: Tensor, next: Tensor | undefined): Readback {
  if (!next) return rec.read(logits);
  const chosen = argmax(rec, { x: logits, label: 'next token' });
  rec.copy(chosen, next);
  return rec.read(chosen);
}

/** What a generator yields that is made when the first of it is asked for. */
async function* eachLater<T>(make: () => Promise<AsyncGenerator<T, void>>): AsyncGenerator<T, void> {
  yield* await make();
}

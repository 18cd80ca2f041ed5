// Runs of a model whose weights are not there, recorded by the same code as real ones: their shapes and buffers are exact.

import { allocate } from '../../checkpoint/allocate.ts';
import type { Capabilities } from '../../gpu/capabilities.ts';
import { DryGpu } from '../../gpu/dry-gpu.ts';
import type { Format } from '../../gpu/formats/format.ts';
import type { Recorder } from '../../gpu/recorder.ts';
import { elementCount } from '../../gpu/tensor.ts';
import type { Tuning } from '../../gpu/tuning.ts';
import { InputError } from '../errors.ts';
import type { Architecture } from '../families/family.ts';
import type { ModelInput, Visual, VisualShape } from '../input.ts';
import { type CacheFormat, KvCache } from '../layers/kv-cache.ts';
import { weightSpecs } from '../load-model.ts';
import { Model } from '../model.ts';
import { modelWeights } from '../run/forward.ts';
import type { RunOptions } from '../run/run.ts';
import { chosenFormat, type WeightsChoice } from '../weight-formats.ts';
import type { FormatOf } from './price.ts';

/**
 * @param formatOf of the stored matrices, or one for all.
 * @param choice the formats that matrices are to have on the GPU; default as they are stored.
 * @param cacheFormat of keys and values; default as of a loaded model.
 * @param like the adapter whose kernels are recorded, and whose bindings split the matrices.
 * @param tuning what that adapter was tuned to.
 */
export function dryModel(
  config: Architecture,
  formatOf: Format | FormatOf,
  like?: Capabilities,
  choice?: WeightsChoice,
  cacheFormat?: CacheFormat,
  tuning?: Tuning,
): Model {
  const onGpu = choice && chosenFormat(choice);
  const gpu = new DryGpu(like, tuning);
  const { maxStorageBufferBindingSize, maxBufferSize } = gpu.capabilities;
  const limit = Math.min(maxStorageBufferBindingSize, like?.maxBufferSize ?? maxBufferSize);
  const weights = allocate(weightSpecs(config), {
    formatOf(spec) {
      const stored = typeof formatOf === 'function' ? formatOf(spec) : formatOf;
      return onGpu?.(spec, stored) ?? stored;
    },
    limit,
    keepsTooWide: true, // for `checkAdapter` to name
    make: (label, dtype, shape) => gpu.tensor(label, dtype, shape),
  });
  return new Model({ gpu, config, weights: modelWeights(config, weights), cacheFormat });
}

/**
 * The step of greedy generation that comes after `before` positions.
 * @param model of `dryModel`
 * @throws InputError where they are all that the model has.
 */
export function recordStep(model: Model, before: number, options: RunOptions = {}): Recorder {
  const { maxPositions } = model.config.text;
  if (before >= maxPositions)
    throw new InputError(`a token after ${before} positions: this model has ${maxPositions} in all`);
  const cache = new KvCache(model.gpu, model.config.text, { capacity: before + 1, format: model.cacheFormat });
  cache.length = before;
  cache.promptLength = before;
  const next = model.gpu.tensor('tokens', 'u32', [1]);
  return model.recordedStep(next, { ...options, cache, next });
}

/** The first step of a generation, with the logits of its last token. @param model of `dryModel` */
export function recordPrefill(model: Model, input: ModelInput): Recorder {
  const capacity = input.inputIds.length;
  return model.recorded(
    [input],
    {},
    new KvCache(model.gpu, model.config.text, { capacity, format: model.cacheFormat }),
  );
}

/** A visual of no particular content. */
const blank = (shape: VisualShape): Visual => ({
  ...shape,
  pixels: new Float32Array(elementCount(shape.shape)),
});

/** Tokens that an image of this shape stands for. */
export const imageTokens = ({ vision }: Architecture, shape: VisualShape): number => vision!.tokens(shape);

export interface RunPrice {
  /** Of the prompt, the image's included. */
  readonly tokens: number;
  /** Bytes of buffers for activations. */
  readonly arenaBytes: number;
  readonly largest: { readonly label: string; readonly bytes: number };
  readonly dispatches: number;
  readonly flops: number;
}

/**
 * The first step of a generation: a prompt of at most one image and some tokens of text, with the logits of its last token.
 * @throws InputError where the prompt exceeds the model's positions.
 */
export function pricePrefill(model: Model, textTokens: number, image?: VisualShape): RunPrice {
  const { vision } = model.config;
  const input: ModelInput = {
    inputIds: [
      ...Array<number>(image ? imageTokens(model.config, image) : 0).fill(vision?.imageTokenId ?? 0),
      ...Array<number>(textTokens).fill(0),
    ],
    visuals: image ? [blank(image)] : [],
  };
  const rec = recordPrefill(model, input);
  return {
    tokens: input.inputIds.length,
    arenaBytes: rec.price(),
    largest: rec.largest,
    dispatches: rec.dispatches,
    flops: rec.work.flops,
  };
}

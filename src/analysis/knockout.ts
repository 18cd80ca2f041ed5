// Attention knockout (Geva et al. 2023): from which layers on the answer no longer needs to look at the picture.
import { least } from '../base/extremes.ts';
import { InputError } from '../model/errors.ts';
import type { ModelInput } from '../model/input.ts';
import type { Edit } from '../model/interventions/edits.ts';
import type { Model } from '../model/model.ts';
import { checkOptions } from '../model/options.ts';
import { visualPositions } from './positions.ts';
import { type SweepOptions, sweepTarget, type Target } from './sweep.ts';

/** Who no longer sees the pictures, and in how many layers at once. */
export interface KnockoutOptions extends SweepOptions {
  /** Who no longer sees the pictures: the last position (default), or all text behind the first picture. */
  readonly queries?: 'last' | 'text';
  /** Layers that are blinded at once; 1 by default. */
  readonly window?: number;
}

/** The target where some layers in a row are blinded. */
export interface LayerWindow {
  /** The first layer that is blinded, and the first after it that is not. */
  readonly start: number;
  readonly end: number;
  /** The target then. */
  readonly value: number;
}

/** What an answer loses when text cannot see the pictures. */
export interface Knockout {
  /** The target of the model as it is. */
  readonly baseline: number;
  /** One after the other, from layer 0 on, each a layer further up. */
  readonly windows: readonly LayerWindow[];
  /** Blinded in all layers. */
  readonly everywhere: number;
}

/** The most negative number: softmax makes 0 of it. */
const hidden = -3.4028234e38;

/**
 * The target when text cannot see the pictures: in each window of layers, and in all layers.
 * @throws InputError for a prompt without pictures, or a window of more layers than there are.
 */
export async function knockOutImages(
  model: Model,
  input: ModelInput,
  target: Target,
  options: KnockoutOptions = {},
): Promise<Knockout> {
  const { nLayers } = model.config.text;
  const { queries = 'last', window = 1, onProgress, ...others } = options;
  checkOptions(others, ['queries', 'window', 'onProgress'], 'knockOutImages');
  if (!(Number.isInteger(window) && window >= 1 && window <= nLayers))
    throw new InputError(`window ${window}: give a number of layers, from 1 to ${nLayers}`);
  const images = visualPositions(model.config, input).flat();
  if (!images.length) throw new InputError('the prompt has no images whose tokens could be hidden');
  const at = queries === 'last' ? [input.inputIds.length - 1] : textBehind(images, input.inputIds.length);
  if (!at.length) throw new InputError('there is no text behind the pictures that could be blinded: ask behind them');
  const blind = (start: number, end: number): Edit[] =>
    Array.from({ length: end - start }, (_, i) => ({
      at: `blocks.${start + i}.attn.hook_attn_scores`,
      positions: { at },
      keys: { at: images },
      set: hidden,
    }));
  const starts = Array.from({ length: nLayers - window + 1 }, (_, l) => l);
  const variations = [[], blind(0, nLayers), ...starts.map((start) => blind(start, start + window))];
  const [baseline, everywhere, ...values] = await sweepTarget(model, input, variations, target, { onProgress });
  return {
    baseline,
    everywhere,
    windows: starts.map((start, i) => ({ start, end: start + window, value: values[i] })),
  };
}

/** Positions that are behind the first image token and are none themselves. */
function textBehind(images: readonly number[], length: number): number[] {
  const first = least(images);
  const taken = new Set(images);
  return Array.from({ length: length - first }, (_, i) => first + i).filter((p) => !taken.has(p));
}

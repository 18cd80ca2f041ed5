// Heads and layers that a call names, and how many of them a run brings home at once.
import { type Head, headName } from '../base/heads.ts';
import type { TextConfig } from '../model/config/text.ts';
import { InputError } from '../model/errors.ts';

/** @throws InputError for a head or layer that the model has not. */
export function checkHeads({ nLayers, nHeads }: Pick<TextConfig, 'nLayers' | 'nHeads'>, heads: readonly Head[]): void {
  const inside = (n: number, count: number) => Number.isInteger(n) && n >= 0 && n < count;
  const wrong = heads.find(({ layer, head }) => !inside(layer, nLayers) || !inside(head, nHeads));
  if (wrong)
    throw new InputError(
      `head ${headName(wrong)}: this model has layers 0 to ${nLayers - 1} of heads 0 to ${nHeads - 1}`,
    );
}

/** The layers of some heads, each once, in order. */
export const layersOf = (heads: readonly Head[]): number[] =>
  [...new Set(heads.map(({ layer }) => layer))].sort((a, b) => a - b);

/** How much of all layers is brought to the host at once. */
export interface LayerOptions {
  /** Activations of all layers are brought home for as many layers at once as this holds; 256 MiB by default. */
  readonly maxBytes?: number;
}

/** Layers whose activations are brought home by one run: one of them must be. */
export const layersAtOnce = (bytesPerLayer: number, { maxBytes = 2 ** 28 }: LayerOptions): number =>
  Math.max(1, Math.floor(maxBytes / bytesPerLayer));

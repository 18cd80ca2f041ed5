import type { Head } from '../base/heads.ts';
import type { ModelInput } from '../model/input.ts';
import type { Model } from '../model/model.ts';
import { checkOptions } from '../model/options.ts';
import { type CapturedOptions, captured } from './captured.ts';
import { checkFinite } from './finite.ts';
import { checkHeads, layersOf } from './heads.ts';
import { type PlacedGrid, placedGrids, resolvePosition } from './positions.ts';

/** How much of its attention one head gives each token of a picture. */
export interface AttentionMap extends Head {
  /** By grid: [rows, columns], shares of the head's attention, which is 1 over all positions up to its own. */
  readonly grids: readonly Float32Array[];
  /** What all tokens of the grids together are given. */
  readonly share: number;
}

/** Where heads look in the pictures of a prompt, from one position. */
export interface AttentionMaps {
  /** The position whose attention is shown. */
  readonly position: number;
  /** The grids of all pictures, in the order of the prompt. */
  readonly grids: readonly PlacedGrid[];
  /** A map for each head that was asked for, in that order. */
  readonly maps: readonly AttentionMap[];
}

/** Whose attention is shown. */
export interface AttentionOptions extends CapturedOptions {
  /** Heads of the decoder. */
  readonly heads: readonly Head[];
  /** Whose attention; negative numbers count from the end. Default: the last position. */
  readonly position?: number;
}

/**
 * Attention of some heads at one position over the patches of the prompt's pictures (`hook_pattern`).
 * @throws InputError for heads or positions that are not there; NotFiniteError where attention is not finite.
 */
export async function attentionMaps(
  model: Model,
  input: ModelInput,
  { heads, position = -1, cache, ...others }: AttentionOptions,
): Promise<AttentionMaps> {
  checkOptions(others, ['heads', 'position', 'cache'], 'attentionMaps');
  checkHeads(model.config.text, heads);
  const at = resolvePosition(position, input.inputIds.length);
  const name = (layer: number) => `blocks.${layer}.attn.hook_pattern`;
  const found = await captured(model, input, layersOf(heads).map(name), { start: at, end: at + 1 }, cache);
  for (const layer of layersOf(heads)) await checkFinite(model, input, 'the attention', found.get(name(layer))!.data);
  const grids = placedGrids(model.config, input);
  const maps = heads.map(({ layer, head }) => {
    const { data, shape } = found.get(name(layer))!; // [nHeads, 1, keys]
    const row = data.subarray(head * shape[2], (head + 1) * shape[2]);
    return { layer, head, ...mapOf(row, grids) };
  });
  return { position: at, grids, maps };
}

/** A row of weights over all positions, laid over grids. */
export function mapOf(row: ArrayLike<number>, grids: readonly PlacedGrid[]): { grids: Float32Array[]; share: number } {
  const laid = grids.map((grid) => layOver(grid, (y, x) => row[grid.positionOf(y, x)]));
  const share = laid.reduce((sum, values) => values.reduce((s, v) => s + v, sum), 0);
  return { grids: laid, share };
}

/** [rows, columns] */
export function layOver(
  { rows, columns }: { readonly rows: number; readonly columns: number },
  value: (y: number, x: number) => number,
): Float32Array {
  return Float32Array.from({ length: rows * columns }, (_, i) => value(Math.floor(i / columns), i % columns));
}

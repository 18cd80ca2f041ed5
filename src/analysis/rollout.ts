// Attention rollout (Abnar and Zuidema 2020, "Quantifying Attention Flow in Transformers"): how attention passes information
// on from layer to layer. A layer's matrix is the mean over its heads, half of it replaced by the identity for the residual
// stream; the product over layers says how much of each input position reaches each output position.
import { InputError } from '../model/errors.ts';
import { imagesFirst, type ModelInput } from '../model/input.ts';
import type { Model } from '../model/model.ts';
import { checkOptions } from '../model/options.ts';
import type { PatchGrid } from '../model/processor/token-grids.ts';
import type { Activation } from '../model/run/activations.ts';
import { layOver, mapOf } from './attention-map.ts';
import { checkFinite } from './finite.ts';
import { type LayerOptions, layersAtOnce } from './heads.ts';
import { type PictureGrid, type PlacedGrid, placedGrids, resolvePosition } from './positions.ts';

/** How many layers attention is followed through, and how. */
export interface RolloutOptions extends LayerOptions {
  /** The share of the identity in each layer; 0.5 by default, as published. */
  readonly residual?: number;
  /** Layers before this one; all by default. */
  readonly layers?: number;
  /** Told after each run: how many layers are done, of how many. */
  readonly onProgress?: (done: number, total: number) => void;
}

/**
 * One layer further down: how much `flow` out of a layer's positions draws on each position that goes into it.
 * @param flow [n]
 * @param pattern [heads, n, n], each row of which sums to 1
 */
export function rollBack(
  flow: Float64Array<ArrayBuffer>,
  pattern: Float32Array,
  heads: number,
  residual = 0.5,
): Float64Array<ArrayBuffer> {
  const n = flow.length;
  const before = flow.map((x) => residual * x);
  for (let q = 0; q < n; q++) {
    const share = ((1 - residual) * flow[q]) / heads;
    if (share === 0) continue;
    for (let h = 0; h < heads; h++) {
      const row = (h * n + q) * n;
      for (let k = 0; k < n; k++) before[k] += share * pattern[row + k];
    }
  }
  return before;
}

/** What flows from places of the pictures, through several layers. */
export interface Rollout<G> {
  /** The grids of all pictures. */
  readonly grids: readonly G[];
  /** By grid: [rows, columns], shares of what arrives. */
  readonly values: readonly Float32Array[];
}

/** What flows from all positions of a prompt to one, through several layers. */
export interface DecoderRollout extends Rollout<PlacedGrid> {
  /** The position that it flows to. */
  readonly position: number;
  /** Over all positions; sums to 1. */
  readonly flow: Float64Array;
  /** Of the flow, what comes from pictures, in [0, 1]. */
  readonly share: number;
}

/** How much of one position's output each position of the prompt is the source of, pictures included. */
export async function decoderRollout(
  model: Model,
  input: ModelInput,
  { position = -1, ...options }: RolloutOptions & { readonly position?: number } = {},
): Promise<DecoderRollout> {
  const { nLayers, nHeads } = model.config.text;
  const length = input.inputIds.length;
  const at = resolvePosition(position, length);
  let flow = new Float64Array(length);
  flow[at] = 1;
  const perLayer = nHeads * length ** 2 * 4;
  await fromTheTop(model, input, 'blocks', options.layers ?? nLayers, perLayer, options, ({ data }) => {
    flow = rollBack(flow, data, nHeads, options.residual);
  });
  const grids = placedGrids(model.config, input);
  const { grids: values, share } = mapOf(flow, grids);
  return { position: at, grids, values, share, flow };
}

/**
 * How much of the vision tower's output each patch is the source of: of the class token where there is one, else of all
 * patches of a frame on average.
 */
export async function towerRollout(
  model: Model,
  input: ModelInput,
  options: RolloutOptions = {},
): Promise<Rollout<PatchGrid & PictureGrid>> {
  const { vision } = model.config;
  if (!vision || !input.visuals.length) return { grids: [], values: [] };
  const order = imagesFirst(input.visuals.map(({ kind }, visual) => ({ kind, visual })));
  const grids = vision
    .patchGrids(imagesFirst(input.visuals))
    .flatMap((own, i) => own.map((grid) => ({ ...grid, visual: order[i].visual })));
  const [pattern] = model.hookPoints.filter(({ name }) => name === 'vision.blocks.0.attn.hook_pattern');
  const rows = input.visuals.reduce((sum, visual) => sum + vision.rows(visual), 0);
  const crops = grids.length;
  const shape = pattern.shape({ pos: 0, keys: 0, crops, patches: rows }); // [(crops,) heads, n, n]
  const [heads, n] = shape.slice(-3);
  const flows = grids.map((grid) => {
    const flow = new Float64Array(n);
    if (grid.classRow !== undefined) flow[grid.classRow] = 1;
    else layOver(grid, (y, x) => (flow[grid.rowOf(y, x)] = 1 / (grid.rows * grid.columns)));
    return flow;
  });
  const perLayer = 4 * shape.reduce((product, size) => product * size, 1);
  await fromTheTop(model, input, 'vision.blocks', options.layers ?? vision.nLayers, perLayer, options, ({ data }) => {
    const size = heads * n * n;
    for (const [i, { sequence }] of grids.entries())
      flows[i] = rollBack(flows[i], data.subarray(sequence * size, (sequence + 1) * size), heads, options.residual);
  });
  return { grids, values: grids.map((grid, i) => layOver(grid, (y, x) => flows[i][grid.rowOf(y, x)])) };
}

/** Shows every layer's pattern, the last layer's first, running the model as often as the patterns' size requires. */
async function fromTheTop(
  model: Model,
  input: ModelInput,
  blocks: string,
  layers: number,
  bytesPerLayer: number,
  options: RolloutOptions,
  visit: (pattern: Activation) => void,
): Promise<void> {
  checkOptions(options, ['layers', 'residual', 'maxBytes', 'onProgress'], 'rollout');
  const { residual = 0.5, onProgress } = options;
  if (!(residual >= 0 && residual <= 1)) throw new InputError(`residual ${residual}: give a share from 0 to 1`);
  if (!(Number.isInteger(layers) && layers >= 0)) throw new InputError(`${layers} layers: give a whole number`);
  const atOnce = layersAtOnce(bytesPerLayer, options);
  for (let end = layers; end > 0; end -= atOnce) {
    const start = Math.max(0, end - atOnce);
    const names = Array.from({ length: end - start }, (_, i) => `${blocks}.${end - 1 - i}.attn.hook_pattern`);
    const cache = await model.runWithCache(input, { namesFilter: names });
    for (const name of names) {
      const pattern = cache.get(name)!;
      await checkFinite(model, input, 'the attention', pattern.data);
      visit(pattern);
    }
    onProgress?.(layers - start, layers);
  }
}

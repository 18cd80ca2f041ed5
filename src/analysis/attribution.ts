// Direct logit attribution: a residual stream is a sum of what every component wrote into it, and a logit is linear in it
// once the final norm's scale is held fast. So a logit is a sum over components.
import type { ModelInput } from '../model/input.ts';
import type { Model } from '../model/model.ts';
import { checkOptions } from '../model/options.ts';
import type { Activation } from '../model/run/activations.ts';
import { checkFinite } from './finite.ts';
import { resolvePosition } from './positions.ts';
import { refuseEdits, tokenDirections } from './unembed.ts';

/** Which logit is taken apart, and where. */
export interface AttributionOptions {
  /** The token whose logit is taken apart, … */
  readonly token: number;
  /** … less the logit of this one. */
  readonly against?: number;
  /** Default: the last. */
  readonly position?: number;
}

/**
 * What each component adds to a logit, or to the difference of two. All parts add up to `total`, which is the logit but for what
 * edits write into the residual stream.
 */
export interface Attribution {
  /** The position in the prompt whose logit it is. */
  readonly position: number;
  /** The token's own embedding (at an image position, the projected feature). */
  readonly embed: number;
  /** [layers, heads] */
  readonly heads: Float64Array;
  /** Of the attention's output projection, [layers]; zeros where it has no bias. */
  readonly attentionBias: Float64Array;
  /** [layers], bias included. */
  readonly mlp: Float64Array;
  /** The sum of all parts. */
  readonly total: number;
  /** What the model itself says. */
  readonly logit: number;
}

/**
 * What every head, MLP and embedding adds to a logit, or to the difference of two.
 * @throws InputError for tokens or positions that are not there, and for edits of what the parts are held against; NotFiniteError
 *   where a part is not finite.
 */
export async function attributeLogit(
  model: Model,
  input: ModelInput,
  { token, against, position = -1, ...others }: AttributionOptions,
): Promise<Attribution> {
  checkOptions(others, ['token', 'against', 'position'], 'attributeLogit');
  const { nLayers, nHeads, dModel } = model.config.text;
  refuseEdits(model, /^(ln_final\.hook_normalized|logits)$/, 'the parts add up to what it is before');
  const at = resolvePosition(position, input.inputIds.length);
  const directions = await tokenDirections(model, against === undefined ? [token] : [token, against]);
  const direction = directions.slice(0, dModel);
  if (against !== undefined) for (let d = 0; d < dModel; d++) direction[d] -= directions[dModel + d];
  const names = ['blocks.*.attn.hook_result', 'blocks.*.hook_mlp_out', 'blocks.0.hook_resid_pre'];
  const namesFilter = [...names, 'ln_final.hook_scale', 'logits'];
  const cache = await model.runWithCache(input, { namesFilter, posSlice: at });
  const scale = cache.get('ln_final.hook_scale')!.data[0];
  const along = ({ data }: Pick<Activation, 'data'>, row = 0) => dot(data, row * dModel, direction) / scale;

  const heads = new Float64Array(nLayers * nHeads);
  const mlp = new Float64Array(nLayers);
  for (let layer = 0; layer < nLayers; layer++) {
    const result = cache.get(`blocks.${layer}.attn.hook_result`)!; // [1, nHeads, dModel]
    for (let head = 0; head < nHeads; head++) heads[layer * nHeads + head] = along(result, head);
    mlp[layer] = along(cache.get(`blocks.${layer}.hook_mlp_out`)!);
  }
  const attentionBias = Float64Array.from(await outputBiases(model), (bias) => (bias ? along({ data: bias }) : 0));
  const embed = along(cache.get('blocks.0.hook_resid_pre')!);
  const sum = (values: Float64Array) => values.reduce((total, x) => total + x, 0);
  const logits = cache.get('logits')!.data;
  const logit = logits[token] - (against === undefined ? 0 : logits[against]);
  await checkFinite(model, input, 'the parts of the logit', [embed, logit, ...heads, ...attentionBias, ...mlp]);
  return {
    position: at,
    embed,
    heads,
    attentionBias,
    mlp,
    total: embed + sum(heads) + sum(attentionBias) + sum(mlp),
    logit,
  };
}

/** o_proj's biases, by layer. */
async function outputBiases(model: Model): Promise<(Float32Array | undefined)[]> {
  const biases = model.weights.decoder.blocks.map(({ o }) => o.bias);
  if (!biases.some((bias) => bias)) return biases.map(() => undefined);
  const rec = model.record('o_proj biases');
  const reads = biases.map((bias) => bias && rec.read(bias));
  await rec.submit();
  return reads.map((read) => read?.f32);
}

/** Of `b` and the row of `a` that starts at `start`, in float64. */
function dot(a: Float32Array, start: number, b: Float32Array): number {
  let sum = 0;
  for (let d = 0; d < b.length; d++) sum += a[start + d] * b[d];
  return sum;
}
